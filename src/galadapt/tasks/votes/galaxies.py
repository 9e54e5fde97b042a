"""Light of a galaxy and its surroundings in three channels, and of each of its features.

A feature is kept as a difference: the light with it minus the light of the same galaxy without it,
so that what of it remains visible can be measured after the telescope. Lengths are 64ths of the
frame, which is scaled to the galaxy; light as in `telescope`.

The distributions were tuned by eye and by `benchmarks/votes/compare.py` to SDSS images and to mean
votes of Galaxy Zoo 2; they are no measurement of the galaxy population.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy import fft
from scipy.special import expit, ive

from galadapt.tasks.votes.telescope import FRAME, Grid, turned

#: Shares of the kinds of galaxies, and of frames without any.
_KINDS = {"elliptical": 0.33, "disc": 0.585, "irregular": 0.077, "artifact": 0.008}

_RADIUS, _RADIUS_SCATTER = 22.0, 0.16  #: radius of 90 % of the light [units], scatter of its ln
_SERSIC_REACH, _DISC_REACH = 3.0, 3.3  #: that radius over the half-light radius, the scale length

#: Median of the light of a galaxy in green, scatter of its ln.
_LIGHT, _LIGHT_SCATTER = 1.25e5, 0.42

_OFFSET = 0.5  #: scatter of the galaxy's middle around that of the frame, per axis [units]

#: Light in red, green and blue over that in green: old and young stars, and new ones.
_OLD, _YOUNG, _NEW = np.array([[1.26, 1.0, 0.62], [1.10, 1.0, 0.93], [0.85, 1.0, 1.45]])

_DISC_THICKNESS = 0.13  #: axis ratio of a disc seen from its edge
_EDGE_ON = 0.27  #: up to this axis ratio a disc's bulge may be boxy and its dust a lane


@dataclass
class Scene:
    """What is in a frame.

    Attributes:
        light: (3, count, count) on the grid.
        features: Differences (3, count, count) by name, of those that are there.
        ratio: Axis ratio of the galaxy, or of its disc.
        radius: Its semi-major radius [units].
        bulge: Share of its light in the bulge.
        arms: Number of spiral arms; 0: of no certain number.
        pitch: Pitch angle of the arms [rad].
        boxy: Whether the bulge of a disc seen from its edge is boxy.
    """

    light: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)
    ratio: float = 1.0
    radius: float = _RADIUS
    bulge: float = 1.0
    arms: int = 0
    pitch: float = 0.3
    boxy: bool = False

    def add(self, feature: str, difference: np.ndarray) -> None:
        """Add a feature's light."""
        self.light += difference
        known = self.features.get(feature)
        self.features[feature] = difference if known is None else known + difference


def draw_scene(grid: Grid, rng: np.random.Generator) -> Scene:
    """Draw a galaxy, or an artifact, with what else is in its frame."""
    kind = str(rng.choice(list(_KINDS), p=list(_KINDS.values())))
    radius = _RADIUS * math.exp(rng.normal(0, _RADIUS_SCATTER))
    flux = _LIGHT * math.exp(rng.normal(0, _LIGHT_SCATTER))
    grid = grid.moved(*rng.normal(0, _OFFSET, 2).tolist())
    scene = Scene(np.zeros((3, grid.count, grid.count), np.float32))
    drawing = _Drawing(scene, grid, flux, rng)
    if kind == "artifact":
        drawing.artifact()
    else:
        scene.radius = radius
        if kind == "elliptical":
            drawing.elliptical()
        else:
            drawing.disc(irregular=kind == "irregular")
        drawing.disturb()
    drawing.surround()
    return scene


def _coloured(light: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.asarray(light * colour.astype(np.float32)[:, None, None])


@dataclass
class _Drawing:
    """A scene that is being drawn: its grid, the galaxy's light in green, and random numbers."""

    scene: Scene
    grid: Grid
    flux: float
    rng: np.random.Generator

    @property
    def scale(self) -> float:
        """Scale length of a disc."""
        return self.scene.radius / _DISC_REACH

    def scattered(self, colour: np.ndarray, scatter: float = 0.12) -> np.ndarray:
        """Redden or blue a colour by a scatter of the ln of red over green."""
        shift = self.rng.normal(0, scatter)
        return np.asarray(colour * np.exp(shift * np.array([0.6, 0.0, -1.3])))

    def deprojected(self, angle: float) -> tuple[np.ndarray, np.ndarray]:
        """Coordinates in the plane of an inclined disc."""
        along, across = turned(self.grid.x, self.grid.y, angle)
        return along, across / self.scene.ratio

    def elliptical(self) -> None:
        scene, rng, radius = self.scene, self.rng, self.scene.radius
        scene.ratio = float(1 - 0.62 * rng.beta(1.1, 2.2))
        colour = self.scattered(_OLD, 0.1)
        index, angle = rng.uniform(2, 4.5), rng.uniform(0, math.pi)
        light = self.grid.sersic(index, radius / _SERSIC_REACH, scene.ratio, angle)
        scene.light += _coloured(self.flux * light, colour)
        if rng.random() < 0.05:
            # A lens or shell: a plateau with an edge.
            distance = np.hypot(*self.deprojected(rng.uniform(0, math.pi)))
            edge = rng.uniform(0.5, 0.9) * radius
            level = rng.uniform(0.004, 0.02) * self.flux / edge**2
            scene.add("lens", _coloured(level * expit(3 * (edge - distance)), colour))

    def disc(self, irregular: bool) -> None:
        scene, rng, scale = self.scene, self.rng, self.scale
        cosine = rng.random() ** 0.75
        thin = _DISC_THICKNESS * rng.uniform(0.8, 1.5)
        scene.ratio = ratio = math.sqrt(cosine**2 * (1 - thin**2) + thin**2)
        angle = rng.uniform(0, math.pi)
        scene.bulge = bulge = 0.0 if irregular else float(rng.beta(1.2, 3.6))
        scene.boxy = bool(rng.random() < 0.15)
        u, v = self.deprojected(angle)
        distance = np.hypot(u, v)
        old = self.scattered(_OLD, 0.1)
        blue = float(np.clip(1.25 - 1.6 * bulge + rng.normal(0, 0.2), 0, 1.3))
        young = old + (_YOUNG - old) * blue
        disc = np.exp(-distance / scale)
        disc *= self.flux * (1 - bulge) / (2 * math.pi * scale**2 * ratio)
        scene.light += _coloured(disc, young)
        if bulge > 0.02:
            self.bulge(angle, old)
        if rng.random() < 0.3 and not irregular:
            self.bar(u, v, old)
        if rng.random() < (0.25 if irregular else 0.8):
            self.arms(u, v, disc, young)
        if rng.random() < 0.1:
            at = scale * rng.uniform(1.4, 2.8)
            wide = scale * rng.uniform(0.12, 0.3)
            level = rng.uniform(0.04, 0.22) * self.flux / (2 * math.pi * at * wide * 2.5 * ratio)
            band = np.exp(-0.5 * ((distance - at) / wide) ** 2)
            scene.add("ring", _coloured(level * band, (young + _NEW) / 2))
        if rng.random() < 0.8:
            # Patches of new stars and dust.
            depth = rng.uniform(0, 0.35)
            patches = np.exp(depth * self.patches(scale * rng.uniform(0.15, 0.4))) - 1
            scene.add("patches", _coloured(disc * patches, (young + _NEW) / 2))
        if irregular or rng.random() < 0.3:
            self.clumps(angle, irregular)
        if ratio < _EDGE_ON and rng.random() < 0.15:
            self.dust(u, v * ratio)

    def patches(self, size: float) -> np.ndarray:
        """Gaussian random field of standard deviation 1, smoothed by a Gaussian of this sigma."""
        grid = self.grid
        # Numbers of its own: how fine the grid is must not change what is drawn after.
        own = np.random.Generator(np.random.Philox(int(self.rng.integers(2**63))))
        white = own.standard_normal((grid.count, grid.count), dtype=np.float32)
        smooth = fft.rfft2(white) * np.exp(-0.5 * size**2 * (grid.kx**2 + grid.ky**2))
        field = fft.irfft2(smooth, s=white.shape)
        return np.asarray(field / field.std())

    def bulge(self, angle: float, colour: np.ndarray) -> None:
        scene, grid, rng = self.scene, self.grid, self.rng
        edge_on = scene.ratio < _EDGE_ON
        size = scene.radius * (0.07 + 0.18 * rng.random() * (1 + scene.bulge))
        ratio = max(scene.ratio, rng.uniform(0.55, 0.95))
        if edge_on and scene.boxy:
            along, across = turned(grid.x, grid.y, angle)
            radius = (along**4 + (across / ratio) ** 4) ** 0.25
            light = np.exp(-((radius / size) ** 1.2)).astype(np.float32)
            light /= light.sum() * grid.step**2
        else:
            light = grid.sersic(rng.uniform(1, 3.5), size, ratio, angle)
        difference = _coloured(self.flux * scene.bulge * light, colour)
        if edge_on:
            scene.add("bulge", difference)
        else:
            scene.light += difference

    def bar(self, u: np.ndarray, v: np.ndarray, colour: np.ndarray) -> None:
        """A bar; without it its light would lie in a round lens."""
        scene, rng = self.scene, self.rng
        long = self.scale * rng.uniform(0.6, 2.0)
        thin = rng.uniform(0.18, 0.4)
        along, across = turned(u, v, rng.uniform(0, math.pi))
        flux = self.flux * (1 - scene.bulge) / scene.ratio
        light = flux * rng.uniform(0.04, 0.2) / (math.pi * long**2)
        bar = np.exp(-(((along / long) ** 2 + (across / (thin * long)) ** 2) ** 1.3)) / thin
        lens = np.exp(-(((along**2 + across**2) / long**2) ** 1.3))
        scene.light += _coloured(light * lens, colour)
        scene.add("bar", _coloured(light * (bar - lens), colour))

    def arms(self, u: np.ndarray, v: np.ndarray, disc: np.ndarray, colour: np.ndarray) -> None:
        """Logarithmic spirals that modulate the disc; its light without them is its mean."""
        rng, away, around = self.rng, np.hypot(u, v) / self.scale, np.arctan2(v, u)
        number = int(rng.choice([0, 1, 2, 3, 4, 5], p=[0.2, 0.07, 0.5, 0.12, 0.06, 0.05]))
        pitch = math.radians(float(np.clip(rng.lognormal(math.log(16), 0.5), 5, 45)))
        sharp = rng.uniform(1.0, 5.0)
        strength = rng.uniform(0.1, 0.8)
        sense = 1 if rng.random() < 0.5 else -1
        winding = np.log(away + 0.02) * (sense / math.tan(pitch))
        begins, ends = rng.uniform(0.4, 1.0), rng.uniform(2.5, 5.0)
        where = expit(8 * (away - begins)) * expit(4 * (ends - away))
        # Without a certain number: pieces of several patterns.
        patterns = [number] if number else rng.choice([2, 3, 4, 5, 6], 3, replace=False).tolist()
        if number == 5:
            patterns = [int(rng.integers(5, 8))]
        waves = np.zeros_like(disc)
        for count in patterns:
            angle = around - winding / math.sqrt(max(count / 2, 1))
            phase = count * angle + rng.uniform(0, 2 * math.pi)
            waves += np.exp(sharp * (np.cos(phase) - 1)) / float(ive(0, sharp)) - 1
        waves *= strength * where * disc / len(patterns)
        blue = colour + (_NEW - colour) * rng.uniform(0, 0.8)
        self.scene.add("arms", _coloured(waves, blue))
        self.scene.arms, self.scene.pitch = number, pitch

    def clumps(self, angle: float, irregular: bool) -> None:
        """Knots of new stars; in irregular galaxies they are the body of it."""
        grid, rng, scale = self.grid, self.rng, self.scale
        count = int(rng.integers(4, 12))
        away = scale * rng.gamma(2.0, 0.6 if irregular else 0.9, count)
        around = rng.uniform(0, 2 * math.pi, count)
        along, across = away * np.cos(around), away * np.sin(around) * self.scene.ratio
        x, y = turned(along, across, -angle)
        share = rng.uniform(0.1, 0.5) if irregular else rng.uniform(0.01, 0.06)
        part = rng.dirichlet(np.full(count, 1.2)) * share * self.flux
        wide = scale * rng.uniform(*((0.2, 0.7) if irregular else (0.08, 0.2)), count)
        light = np.zeros((grid.count, grid.count), np.float32)
        for k in range(count):
            # A Gaussian, drawn as a product; no narrower than the grid can show.
            sigma = max(float(wide[k]), grid.step)
            column = np.exp(-0.5 * ((grid.y - y[k]) / sigma) ** 2)
            row = np.exp(-0.5 * ((grid.x - x[k]) / sigma) ** 2)
            light += np.float32(part[k] / (2 * math.pi * sigma**2)) * column * row
        name = "irregular" if irregular else "clumps"
        self.scene.add(name, _coloured(light, self.scattered(_NEW)))

    def dust(self, along: np.ndarray, across: np.ndarray) -> None:
        rng, scale = self.rng, self.scale
        wide = scale * rng.uniform(0.1, 0.25)
        depth = rng.uniform(0.1, 1.0)
        column = depth * np.exp(-0.5 * ((across - rng.uniform(-0.5, 0.5) * wide) / wide) ** 2)
        column *= np.exp(-((along / (3 * scale)) ** 2))
        left = np.exp(-column * np.array([0.75, 1.0, 1.35])[:, None, None]).astype(np.float32)
        self.scene.add("dust", self.scene.light * (left - 1))

    def disturb(self) -> None:
        """Tides, companions, arcs and whatever else is odd."""
        scene, grid, flux, rng = self.scene, self.grid, self.flux, self.rng
        radius = scene.radius
        away, around = np.hypot(grid.x, grid.y), np.arctan2(grid.y, grid.x)
        chance = rng.random()
        if chance < 0.1:
            turn = rng.uniform(0, 2 * math.pi)
            distance = radius * rng.uniform(0.35, 1.1)
            size = radius * rng.uniform(0.1, 0.3)
            share = rng.uniform(0.15, 0.8)
            there = grid.moved(distance * math.cos(turn), distance * math.sin(turn))
            index, ratio = rng.uniform(1, 4), rng.uniform(0.4, 1)
            light = there.sersic(index, size, ratio, rng.uniform(0, math.pi))
            colour = self.scattered(_OLD if rng.random() < 0.6 else _YOUNG)
            scene.add("merger", _coloured(share * flux * light, colour))
        if chance < 0.05 or 0.1 < chance < 0.2:
            # A tidal tail: an arc that leaves the galaxy.
            angle = around + rng.uniform(0, 2 * math.pi)
            angle = np.where(angle > math.pi, angle - 2 * math.pi, angle)
            middle = radius * rng.uniform(0.5, 1.1) * np.exp(rng.uniform(0.1, 0.5) * angle)
            wide = radius * rng.uniform(0.08, 0.2)
            tail = np.exp(-0.5 * ((away - middle) / wide) ** 2 - 0.5 * (angle / 0.8) ** 2)
            level = flux * 10 ** rng.uniform(-2.0, -0.9) / (tail.sum() * grid.step**2)
            scene.add("disturbed", _coloured(level * tail, self.scattered(_YOUNG)))
        if 0.2 < chance < 0.3:
            # A lopsided galaxy: one side brighter than the other.
            along, _ = turned(grid.x, grid.y, rng.uniform(0, 2 * math.pi))
            side = np.tanh(rng.uniform(0.1, 0.7) / radius * along)
            scene.add("disturbed", scene.light * side.astype(np.float32))
        if 0.3 < chance < 0.31:
            apart = np.angle(np.exp(1j * (around - rng.uniform(0, 2 * math.pi))))
            arc = np.exp(-0.5 * ((away - 0.8 * radius) / 0.5) ** 2 - 0.5 * (apart / 0.4) ** 2)
            level = flux * rng.uniform(0.005, 0.04) / (arc.sum() * grid.step**2)
            scene.add("lens", _coloured(level * arc, _NEW))

    def surround(self) -> None:
        """Stars and galaxies that only lie in the same direction, and gradients of the sky."""
        scene, grid, rng = self.scene, self.grid, self.rng
        points = np.zeros((3, grid.count, grid.count // 2 + 1), np.complex64)
        stars = int(rng.poisson(1.7))
        for _ in range(stars):
            # Number counts: ten times as many of a tenth of the light.
            flux = 60 * rng.random() ** -1.2
            x, y = rng.uniform(-FRAME / 2, FRAME / 2, 2)
            redder = np.exp(rng.normal(0, 0.45) * np.array([0.7, 0.0, -1.2]))
            colour = np.array([1.1, 1.0, 0.85]) * redder
            points += _coloured(min(flux, 3e5) * grid.place(x, y), colour)
        if stars:
            scene.light += np.stack([grid.draw(one) for one in points])
        for _ in range(int(rng.poisson(0.7))):
            there = grid.moved(*rng.uniform(-FRAME / 2, FRAME / 2, 2).tolist())
            index, radius = rng.uniform(1, 4), rng.uniform(0.8, 2.5)
            light = there.sersic(index, radius, rng.uniform(0.3, 1), rng.uniform(0, math.pi))
            flux = min(250 * rng.random() ** -1.0, 4e4)
            scene.light += _coloured(flux * light, self.scattered(_OLD, 0.25))
        if rng.random() < 0.06:
            along = turned(grid.x, grid.y, rng.uniform(0, 2 * math.pi))[0] / FRAME + 0.5
            colour = np.exp(rng.normal(0, 0.8, 3))
            level = rng.uniform(3, 25) * np.exp(4 * (along - 1)).astype(np.float32)
            scene.light += _coloured(level, colour)

    def artifact(self) -> None:
        """A bright star with its spikes, or the trail of a satellite over an empty field."""
        grid, rng = self.grid, self.rng
        turn = rng.uniform(0, math.pi)
        colour = self.scattered(np.ones(3), 0.4)
        if rng.random() < 0.6:
            flux = 10 ** rng.uniform(4.8, 6.0)
            light = flux * 0.9 * grid.draw(grid.place(0.0, 0.0))
            for k in range(2):
                along, across = turned(grid.x, grid.y, turn + k * math.pi / 2)
                light += 2e-4 * flux * np.exp(-np.abs(along) / 9 - (across / 0.7) ** 2)
        else:
            away = turned(grid.x, grid.y, turn)[0] - rng.uniform(-4, 4)
            light = rng.uniform(20, 300) * np.exp(-0.5 * (away / rng.uniform(0.6, 2.5)) ** 2)
        self.scene.add("artifact", _coloured(light, colour))
