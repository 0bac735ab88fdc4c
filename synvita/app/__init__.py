"""`synvita app`: drop a clip, type captions, see which fit and by which words. Only `page.py` needs gradio."""
