"""Forty texts that run, break out or hide where a page takes text for markup; each would set `window.__pwned`.

They stand in captions, titles, tags and file names. What a page may do with one is to show it.
"""

import unicodedata

PAYLOADS = (
    "<script>window.__pwned=1</script>",
    "</script><script>window.__pwned=2</script>",
    "<ScRiPt >window.__pwned=3</sCrIpT >",
    "<img src=x onerror=window.__pwned=4>",
    '<img src="x" onerror="alert(\'slow flute\');window.__pwned=5">',
    '"><img src=x onerror=window.__pwned=6>',
    "'><svg onload=window.__pwned=7>",
    "<svg/onload=window.__pwned=8>",
    "<svg><script>window.__pwned=9</script></svg>",
    "<svg><animate onbegin=window.__pwned=10 attributeName=x dur=1s></svg>",
    "<body onload=window.__pwned=11 onpageshow=window.__pwned=11>",
    "<input autofocus onfocus=window.__pwned=12>",
    "<details open ontoggle=window.__pwned=13>oboe</details>",
    "<video><source src=x onerror=window.__pwned=14></video>",
    "<audio src=x onerror=window.__pwned=15></audio>",
    '<iframe src="javascript:parent.__pwned=16"></iframe>',
    '<iframe srcdoc="<script>parent.__pwned=17</script>"></iframe>',
    '<a href="javascript:window.__pwned=18">a jig</a>',
    "<a href='java&#x09;script:window.__pwned=19' target=_self>a reel</a>",
    "javascript:window.__pwned=20",
    "<b>loud</b> <i>soft</i> <span style='font-size:900px'>21</span> <br>",
    "<a href=javascript:window.__pwned=22><b>press</b></a><br><em>a waltz</em>",
    "{{constructor.constructor('window.__pwned=23')()}} {% raw %} [[ 23 ]]",
    "`${window.__pwned=24}` $(window.__pwned=24)",
    "%{customdata[0]} %{x:.2f} <extra>window.__pwned=25</extra> $\\alpha$",
    'x" onmouseover="window.__pwned=26" autofocus onfocus="window.__pwned=26',
    "x' onmouseover='window.__pwned=27' autofocus onfocus='window.__pwned=27",
    "');window.__pwned=28;//",
    '\\");window.__pwned=29;//',
    "\\u003cscript\\u003ewindow.__pwned=30\\u003c/script\\u003e",
    "&lt;script&gt;window.__pwned=31&lt;/script&gt; &amp; &copy;",
    "&#60;img src=x onerror=window.__pwned=32&#62;",
    "<!--<script>window.__pwned=33;--><script>window.__pwned=33</script>",
    "<style>*{display:none!important}</style><style onload=window.__pwned=34></style>",
    "<math><mtext><table><mglyph><style><img src=x onerror=window.__pwned=35></style></table></mtext></math>",
    "flute " * 900 + "<img src=x onerror=window.__pwned=36>" + "w" * 900,
    "\u202egnol <img src=x onerror=window.__pwned=37> \u2066\u2067isolated\u2069 \u200f\u061c",
    "\U0001f3bb\U0001f469\U0001f3fd\u200d\U0001f3a4<img src=x onerror=window.__pwned=38>\U0001f1eb\U0001f1f7 e\u0301",
    "oboe\x00<scr\x00ipt>window.__pwned=39</scr\x00ipt>\x1b[31m\x07\x08\ufeff",
    "viola\u2028window.__pwned=40\u2029</script>\r\n<script>window.__pwned=40</script>\n",
)


def file_name(payload: str, suffix: str = ".wav") -> str:
    """Return a payload as the name of a file: what no file system or table takes is left out, the number stays."""
    name = "".join(c for c in payload if c != "/" and unicodedata.category(c) != "Cc").strip()
    if len(name.encode()) > 200:
        name = name[:20] + name[900 * 6 : 900 * 6 + 60]
    return name + suffix


def visible(text: str, limit: int = 40) -> str:
    """Return what must be readable of a text wherever it is shown: its first letters without white space.

    Control and formatting characters may be shown or dropped, and lines may be wrapped.
    """
    kept = (c for c in unicodedata.normalize("NFC", text) if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(c for c in kept if not c.isspace())[:limit]
