"""How the pages look: Streamlit's theme options for light and dark, and the little CSS that they cannot say."""

from __future__ import annotations

_LIGHT = {
    "primaryColor": "#0b6e82",
    "linkColor": "#0b6e82",
    "backgroundColor": "#ffffff",
    "secondaryBackgroundColor": "#f3f5f6",
    "textColor": "#172026",
    "borderColor": "#dce1e4",
    "orangeColor": "#c2570c",
    "orangeTextColor": "#8f3d05",
    "orangeBackgroundColor": "#fdeadb",
    "redColor": "#c5283d",
    "redTextColor": "#a31b2f",
    "redBackgroundColor": "#fde8ea",
}
_DARK = {
    "primaryColor": "#0e7c91",
    "linkColor": "#4fc3d9",
    "backgroundColor": "#10161a",
    "secondaryBackgroundColor": "#182025",
    "textColor": "#e6ecef",
    "borderColor": "#2b363d",
    "orangeColor": "#f59e4b",
    "orangeTextColor": "#ffc48c",
    "orangeBackgroundColor": "#4a2c10",
    "redColor": "#ff6b7d",
    "redTextColor": "#ffa3ae",
    "redBackgroundColor": "#4d1c24",
}
_BOTH = {
    "baseRadius": "6px",
    "buttonRadius": "6px",
    "paddingTop": "8px",
    "paddingBottom": "16px",
}

_SURFACES = (
    "".join(
        f"--page-{name}: light-dark({_LIGHT[option]}, {_DARK[option]}); "
        for name, option in {
            "paper": "backgroundColor",
            "line": "borderColor",
            "names": "linkColor",
            "values": "orangeTextColor",
        }.items()
    )
    + "--page-edge: light-dark(#7c878e, #75828a); "
)

CSS = (
    f"<style>.stApp {{ {_SURFACES}}}</style>"
    + """
<style>
  [data-testid="stHeader"] { height: 48px; min-height: 48px; border-bottom: 1px solid var(--st-border-color, #8883); }
  [data-testid="stMainBlockContainer"] { padding: 56px 24px 0; max-width: none; }
  [data-testid="stVerticalBlock"] { gap: 8px; }
  [data-testid="stElementContainer"]:has(> [data-testid="stHtml"] style) { display: none; }
  .stApp { font-variant-numeric: tabular-nums; }
  .stApp h1 { font-size: 28px; line-height: 1.2; padding: 0 0 8px; letter-spacing: -0.01em; }
  .stApp h3 { font-size: 18px; padding: 0 0 8px; }
  [data-testid="stNumberInputStepDown"], [data-testid="stNumberInputStepUp"] { display: none; }
  [data-testid="stWidgetLabel"] p { font-size: 13px; }
  [data-testid="stWidgetLabel"] [data-testid="stTooltipIcon"] { opacity: 0.5; transform: scale(0.85); }
  [data-testid="stWidgetLabel"]:hover [data-testid="stTooltipIcon"],
  [data-testid="stWidgetLabel"] [data-testid="stTooltipIcon"]:focus-within { opacity: 1; }
  .stApp [data-testid="stCode"] code { font-size: 13px; }
  .stApp [data-testid="stCode"] .token { color: inherit; }
  .stApp [data-testid="stCode"] .token:is(.function, .keyword, .property, .variable) { color: var(--page-names); }
  .stApp [data-testid="stCode"] .token:is(.string, .number, .boolean) { color: var(--page-values); }
  .stApp [role="tab"][aria-selected="true"] { color: inherit !important; font-weight: 600; }
  .stApp [data-variant][data-selected="true"] { color: inherit !important; }
  .stApp [data-variant][data-selected="true"] p { font-weight: 600; }
  .stApp a:focus-visible { outline: 2px solid currentColor; outline-offset: 2px; }
  .st-key-jobs_page { padding-top: 8px; }
  .st-key-jobs_page:not(:has(.sm3-jobs, .st-key-notice))::before {
    content: "Loading the jobs…"; font-size: 28px; line-height: 1.2; opacity: 0.68; min-height: 480px;
  }
  .stApp button[data-variant][data-selected="true"] { color: inherit !important; font-weight: 600; }
  .st-key-compare_controls > * { flex: 1 1 112px; min-width: 0; }
  .st-key-compare_controls > :first-child { flex: 0 0 auto; }
  .st-key-compare_controls > .st-key-compare-seed { flex: 0 1 80px; }
  .st-key-compare_controls > .st-key-compare-jobs { flex-basis: max(min(100%, 480px), calc(100% - 340px)); }
  @media (max-width: 900px) {
    .st-key-compare_page [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-direction: column; }
    .st-key-compare_page [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { width: 100%; flex: auto; }
  }
  .st-key-notice { min-height: calc(100vh - 160px); max-width: 640px; margin: 0 auto; }
  .st-key-notice { justify-content: center; gap: 16px; }
  .st-key-notice [data-testid="stPageLink-NavLink"] { padding: 0; background: none; text-decoration: underline; }
  [data-stale="true"] { opacity: 1 !important; transition: none !important; }
  [data-testid="stStatusWidget"] { display: none; }
  .st-key-notice h1 { font-size: 34px; }
  .sm3-signin { display: flex; gap: 8px; align-items: end; flex-wrap: wrap; }
  .sm3-signin label { flex: 1 1 280px; font-size: 13px; display: grid; gap: 4px; }
  .sm3-signin input, .sm3-signin button, .sm3-signout button {
    font: inherit; font-size: 14px; height: 40px; padding: 0 12px; border-radius: 6px; color: inherit;
    background: var(--page-paper); border: 1px solid var(--page-edge);
  }
  .sm3-signin button { background: #0b6e82; border-color: #0b6e82; color: #fff; padding: 0 16px; cursor: pointer; }
  .sm3-signout { position: fixed; top: 8px; right: 24px; z-index: 999991; }
  .sm3-signout button { height: 32px; cursor: pointer; border-color: var(--page-line); }
  .sm3-signin :focus-visible, .sm3-signout :focus-visible { outline: 2px solid #0e7c91; outline-offset: 2px; }
  .st-key-memory_page h1 { padding: 0 0 4px; }
  .stApp [data-testid="stCaptionContainer"] { opacity: 1; color: color-mix(in srgb, currentColor 74%, transparent); }
  .st-key-memory_page [data-testid="stCaptionContainer"] { margin: 0; }
  .st-key-memory_page [data-testid="stCaptionContainer"] p { font-size: 13px; margin: 0; }
  .st-key-memory-bars, .st-key-memory-fits, .st-key-memory-measured { min-height: 280px; }
  .st-key-memory-treemap, .st-key-memory-tensors { min-height: 368px; }
  .st-key-memory_strip { gap: 8px; align-items: flex-end; }
  .st-key-memory_page .st-key-memory-tensors td:first-child { max-width: 216px; direction: rtl; }
  .st-key-memory_findings { min-height: 280px; }
  .st-key-memory_findings h3 { font-size: 13px; padding: 0 0 4px; }
  .st-key-memory_findings [data-testid="stMarkdownContainer"] { margin: 0; }
  .st-key-memory_strip [data-testid="stButtonGroup"] button { min-height: 40px; }
  .stApp button[data-variant="segmented_control"][aria-checked="true"] { color: inherit; font-weight: 600; }
  .st-key-memory_findings p { font-size: 13px; }
  @media (max-width: 1100px) {
    .st-key-memory_within [data-testid="stHorizontalBlock"] { flex-direction: column; }
    .st-key-memory_within [data-testid="stColumn"] { width: 100%; flex: auto; }
  }
  @media (max-width: 900px) {
    .st-key-memory_page [data-testid="stHorizontalBlock"]:has(> [data-testid="stColumn"]) { flex-direction: column; }
    .st-key-memory_page [data-testid="stColumn"] { width: 100%; flex: auto; }
  }
  @media (max-width: 640px) { [data-testid="stMainBlockContainer"] { padding: 56px 8px 0; } }
</style>
"""
)
"""Style for all pages; Streamlit's own variables exist only inside components, so ``--page-…`` stand beside them."""


def options() -> dict[str, str]:
    """Returns Streamlit's configuration for both themes; the browser's own preference picks one."""
    themes = {"light": _LIGHT | _BOTH, "dark": _DARK | _BOTH}
    return {
        f"theme.{theme}.{name}": value for theme, looks in themes.items() for name, value in looks.items()
    }


_MARK = """
    <rect x="0" y="2" width="6" height="6" rx="1"/><rect x="14" y="2" width="6" height="6" rx="1" opacity=".35"/>
    <rect x="0" y="16" width="6" height="6" rx="1"/><rect x="14" y="16" width="6" height="6" rx="1" opacity=".35"/>
    <rect x="7" y="2" width="6" height="6" rx="1" opacity=".35"/>
    <rect x="7" y="16" width="6" height="6" rx="1" opacity=".35"/>
    <rect x="0" y="9" width="6" height="6" rx="1"/><rect x="7" y="9" width="6" height="6" rx="1"/>
    <rect x="14" y="9" width="6" height="6" rx="1"/>
"""
_SVG = '<svg xmlns="http://www.w3.org/2000/svg" '
ICON = f'{_SVG}width="20" height="24" viewBox="0 0 20 24"><g fill="#1890a6">{_MARK}</g></svg>'
"""The page's icon in the browser's tab: a row and a column of a matrix."""

LOGO = f"""{_SVG}width="136" height="24" viewBox="0 0 136 24">
  <g fill="#1890a6">{_MARK}
    <text x="28" y="18" font-family="system-ui, sans-serif" font-size="16" font-weight="700">SM3 Scope</text>
  </g>
</svg>
"""
"""The same with the name."""
