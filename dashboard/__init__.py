"""The dashboard: Streamlit pages around a live view in the browser. Speaks HTTP through `sm3.remote` only."""
