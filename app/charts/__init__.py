"""Charts from frames; nothing here knows Streamlit."""
