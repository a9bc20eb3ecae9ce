"""Where architectures come from beside torchvision: timm, a folder of Hugging Face's, the user's own code."""
