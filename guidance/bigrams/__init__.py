"""A bigram model beside the diffusion model: the plugin, and the counts that it reads."""
