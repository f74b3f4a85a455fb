"""The whole road as one call: a folder of pictures in, a proven LoRA, its reports and a sheet out."""
