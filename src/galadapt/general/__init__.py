"""One network for any image: PSF, noise and mask of the image are inputs beside the stamp.

- `psfs`: random PSFs to train with; `simulate`: endless batches of simulated stamps;
- `inputs`: what the network is given of a stamp, its mask, its noise and its PSF;
- `network`: the network and its likelihood; `train`: the training, which can be continued.

All measure the same seven numbers of a galaxy, `PARAMETERS`.
"""
