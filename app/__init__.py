"""What a person sees: Streamlit pages and charts."""
