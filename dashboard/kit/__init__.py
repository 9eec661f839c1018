"""What the browser code of all components shares: elements, theme, words, tables, export."""
