"""Charts made from frames, without Streamlit."""
