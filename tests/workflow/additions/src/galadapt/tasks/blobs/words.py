"""The words of the report on blobs."""

from galadapt.report.words import Words

WORDS = Words(
    title="How wide is a blob?",
    lead="Blobs measured by networks.",
    facts=lambda configuration: [("Blobs", str(configuration["count"]))],
    caveats=lambda configuration, tests: ["Blobs are no galaxies."],
    work="",
    published=None,
)
