"""Pure functions from what the service says to what a page shows. No Streamlit, no HTTP."""
