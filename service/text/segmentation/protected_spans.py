"""Find what a translation must not change: code, placeholders of templates, paths, identifiers, addresses, quantities.

`find_protected_spans("Pay 5 € to {name}.", "en")` returns the spans of "5 €" and "{name}". Plain words, single numbers
and single punctuation are not protected. A sentence without any character that can begin a span costs one search.
"""

import re
from collections.abc import Iterator

from service.text.alignment import Span
from service.text.quality_checks import uses_latin_script
from service.text.segmentation.message_format import find_arguments

# Characters that can begin or mark a span, and what does among letters and the commonest punctuation; a text without
# either has no span. `_QUANTITY` does the same for texts whose only such characters are digits.
_SIGNS = frozenset("·•`~/\\_{}<>%$#@&|[*^=+°€£¥¢฿©®™§¶†‡¹²³×÷±−½¼¾\ufffc\ufffd")
# Superscripts and subscripts, currencies, letterlike symbols, fractions, arrows, operators, keys, numbers in circles.
_SYMBOLS = "\u2070-\u209f\u20a0-\u20cf\u2100-\u22ff\u2318\u2325\u21e7\u2303\u2460-\u24ff"

_DIGITS = frozenset("0123456789")
_JOINED = re.compile(
    r"[A-Z.:!()-](?:(?<=[a-z][A-Z])|(?<=[\w\s]\.)[a-z]|(?<=\w\()|(?<=!)(?<!\w!)[a-z]|(?<=:)(?<!\w:):?[A-Za-z_]|(?<=\(\))|(?<=-)(?<!\w-)-?[A-Za-z]|(?<=\s-)\d"
    r"|(?<=\w--)|(?<=\b[A-Z]-)[A-Z]\b|(?<=\b[IVX])[IVX]+\b|(?<=[A-Fa-f]:)[0-9A-Fa-f]|(?<=\d:)[A-Fa-f:]|(?<=[a-z]:)\d|(?<=\bISB)N|(?<=\s:):)"
)
# Letters of scripts other than Latin; words of them in a text of a language with the Latin script.
_NOT_LATIN = (
    "\u0370-\u1cff\u1f00-\u1fff\u2c00-\u2c5f\u2c80-\u2dff\u3005-\u3007\u3041-\ua71f\ua800-\uab2f\uab70-\ud7ff\uf900-\ufaff"
    "\ufb13-\ufdff\ufe70-\ufefc\uff66-\uffdc\U00010000-\U0001afff\U0001b000-\U0001efff\U00020000-\U0003ffff"
)
_FOREIGN = re.compile(
    rf"(?=[{_NOT_LATIN}])\w(?:[{_NOT_LATIN}]|[\u0300-\u036f\w])*+"  # marks of vowels are no word characters
    rf"(?:[ ,·・、'’-]{{1,2}}(?=[{_NOT_LATIN}])\w(?:[{_NOT_LATIN}]|[\u0300-\u036f\w])*+)*+"
)

# Letters of the Latin script that none of these languages uses, except in names from others.
_ALPHABETS = frozenset({"de", "en", "es", "fr"})
_OTHER_LETTER = "ÃÅÆÐÌÒÕØÝÞãåæðìòõøýþ\u0100-\u0151\u0154-\u0177\u0179-\u024f\u1e00-\u1e9d\u1ea0-\u1eff\ufb00-\ufb06"
_OTHER_LETTERS = re.compile(
    rf"(?<![^\W\d_])[^\W\d_]*[{_OTHER_LETTER}][^\W\d_]*+(?:[ -][^\W\d_]*[{_OTHER_LETTER}][^\W\d_]*+)*+"
)

_RARE = re.compile(f"[{_NOT_LATIN}{_SYMBOLS}{_OTHER_LETTER}]")

_CURRENCY = (
    r"(?:(?:US|CA?|A|R|HK|NZ|S)\$|[€$£¥¢฿\u20a0-\u20cf]"
    r"|(?:EUR|USD|GBP|CHF|JPY|SEK|NOK|DKK|PLN|CZK|HUF|CAD|AUD|NZD|CNY|INR|BRL|MXN|ZAR|BTC|ETH|kr|zł|Kč|Ft|ct)\b)"
)
_NUMBER = r"\d++(?:(?:[.,'’]|[ \u00a0\u202f](?=\d{3}(?!\d)))\d++)*+(?:\s?[½¼¾⅓⅔⅛⅜⅝⅞]|,[-–—]{1,2}(?=\s?€))?"
_UNIT = r"""(?:
    (?:V|A)\s?(?:DC|AC) | r?em | v[hw] | gal
  | (?:%(?!\() | [‰°′″]) (?:\s?[CFKNSEWO]\b)? | (?:[kMGT]|Mrd|Mio|mil)?\s?CURRENCY
  | (?:[kcdmµμnhMGTP]?(?:m|g|l|L|s|Hz|W|V|A|J|N|Pa|bar|mol|cal|t|b|B|bit|Wh|eV|dB|Ω|px|pt|rpm|psi)[²³23]?
      (?:/(?:[kcdmµ]?(?:m|g|l|L|s)[²³]?|h|min|d))?
    | [KMGT]i?B(?:/s|ps)? | [kMGT]bps | [kM]?b(?:it)?/s | km/h | mph | fps | dpi | ppm | kn
    | [ap]\.\s?m(?:\.(?=\s[a-z]))?
    | ft | yd | mi | lbs? | oz | min | ha | h | hrs? | cm | mm | sq\.? | °[CF] | K
    )(?![\w²³])
  )"""
_QUANTITY = re.compile(
    r"\d(?:(?<=[A-Za-z]\d)|(?<=-\d)|\s?UNIT|\s?h\s?\d|[\s\d.,]{0,20}(?:EUR|USD|GBP|CHF)|(?<=[A-Z]\s\d)|(?<=kr\s\d)|(?<=zł\s\d)|(?<=Kč\s\d)|(?<=Ft\s\d)|\.\d++\.|-\d\d-\d"
    r"|(?:[A-Zpx]|[ap]m)(?!\w)|(?<=\b0)[xXbo][0-9A-Fa-f]|\s?[-x]\s?\d|\.{2,3}\d"
    r"|(?<=–\d)|[ \u00a0]\d\d)".replace("UNIT", _UNIT).replace("CURRENCY", _CURRENCY),
    re.VERBOSE,
)
# Every repetition is bounded or cannot backtrack, so that the search takes linear time on any text.
_PROTECTED = re.compile(
    r"""
    (?<!\w)(?:  # numbers and what belongs to them
    (?<![\w.,])(?:EXPRESSION)(?![\w²³])
  | (?<![\w.,-])(?:NUMBER[-–])?NUMBER\s?UNIT(?!\w)                               # 5 kg, 5-10 kg
  | (?<![\w.,-])NUMBER(?:\s?[x×]\s?NUMBER){1,3}(?:\s?UNIT)?(?!\w)                # 2 x 3 m
  | (?<![\w.,-])\d{1,6}(?:[.,]\d{1,3})?(?:[A-Zpx]|[ap]m)(?!\w)                    # 10x, 5G, 1080p, 11am
  | (?<![\w.,:])\d{1,2}[:.]\d\d\s?[ap]\.?\s?m(?!\w)                              # 5:30 a.m
  | (?<![\w.,])\d{1,9}\.{2,3}\d{1,9}(?!\w)                                       # 1..10
  | (?<![\w.,-])\d{1,20}+(?:[-–]\d{1,20}+){1,6}+(?![\w-])                       # 555-0123, 12–18
  | (?<![\w.,])\d{0,10}+\s?[½¼¾⅓⅔⅛⅜⅝⅞](?!\w)                                       # 3½
  | \(\d{2,5}\)\s?\d{2,8}+(?:[ -]\d{2,8}+){0,4}+(?!\w)                          # (555) 123-4567
  | (?<![\w.,])(?:0\d{1,5}+(?:[ /.-]\d{2,8}+){1,6}+|\d{2,4}+(?:[ ]\d{2,4}+){3,8}+)(?![\w-])  # 01 23 45
  | \+\d{1,3}(?:[ ]?\(\d{1,5}\)[ ]?\d{1,20}+(?:[ -]\d{1,20}+){0,6}+|(?:[ -]\d{1,20}+){1,6}+)(?!\w)  # +49 (0)30 12-34
  | \[?\d\d:\d\d(?::\d\d)?[.,]?\d{0,3}\s?-->\s?\d\d:\d\d(?::\d\d)?[.,]?\d{0,3}\]?     # of subtitles
  | (?:(?<!\w)(?<![-−–+±\d]\ )[-−–+±])?(?<![\w.,])
    (?:CURRENCY\s?-?NUMBER(?:\s?(?:[kKMBm]|[bm]n|M(?:io|rd)\.?)(?!\w))?(?:\s?[-–]\s?CURRENCY\s?NUMBER)?|NUMBER\s?UNIT(?!\w))
    )
  | (?=[^\w\s])(?:  # what begins with a sign
    (?:(?m:^)|(?<=\n[ ])|(?<=\n[ ]{2})|(?<=\n[ ]{3}))(?P<fence>`{3,}+(?=[^`\n]*+(?:\n|\Z))|~{3,}+)[^\n]*+
    (?:\n(?![ ]{0,3}(?P=fence))[^\n]*+)*+(?:\n[ ]{0,3}(?P=fence)[`~]*+[ \t]*+(?=\n|\Z))?     # fenced code
  | (?<!`)(?P<ticks>`{1,3})(?!`)(?:[^`\n]|\n(?!\s*\n)|(?!(?P=ticks)(?!`))`++){1,500}+(?P=ticks)(?!`)   # `code`
  | \$(?![\s\d$])(?=[^$\n]{0,200}[\\^_=+])[^$\n]{1,200}(?<!\s)\$(?![\w$])             # $x^2$
  | \\\((?:[^\\\n]|\\(?!\))){1,200}\\\)
  | \\(?:u[0-9a-fA-F]{4}|[A-Za-z]{1,20}+)(?:\{[^{}\n]{0,100}\}){0,3}  # \frac{1}{2}
  | \$?\{\{\{?[^{}\n]{0,200}\}\}\}? | \{%[^{}\n]{0,200}%\}
  | (?:[$%#@]\{|\{(?![^{}\n]{0,200}[^\W\d_]{2}(?:[ ][^\W\d_]{1,40}+){2}))[^{}\n]{0,200}\}  # {name} ${name}; no prose
  | \[\[[^\[\]\n]{1,200}\]\] | \$[a-z]{0,3}\([\w.:]{1,60}\)                        # [[name]] $(name) $t(name)
  | [\#$@]\[[\w.]{1,60}\] | @:(?:[\w.]{0,60}\w|\{'[^'\n]{1,60}'\})                 # #[name] @:name
  | \[\[?(?=[^\s\[\]]{0,60}_|[A-Z]|[a-z]|\d)[\w.:%-]{1,60}\]\]?(?![\w(\[])      # [first_name]
  | <[%?][^<>\n]{1,200}[%?]> | \[%[^\[\]\n]{1,200}%\]                            # <%= name %>
  | (?<![\w@])@@\w{1,60}@@ | (?<![\w~])~\w{1,60}~(?![\w~])                     # @@name@@ ~name~
  | (?<![\w!])!(?=[a-z])\w{2,60}                                               # !name
  | (?<!\S)\.[a-z][\w-]{1,20}+(?!\w)                                            # .env
  | \*\|[^|\n]{1,80}\|\*                                                        # *|NAME|*
  | (?<![\w\#&])\#{1,3}[A-Za-z0-9][\w.-]{0,60}+\#{1,3}(?![\w\#])                # ##NAME##
  | %\([\w.]{1,60}\)[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?[a-zA-Z]                    # %(name)s
  | (?<![\w%])(?P<percent>%{1,2})[A-Za-z_]\w{1,60}+(?P=percent)(?![\w%])          # %name%
  | (?<![\w%])%%(?![\w%]) | %<\w{1,60}>[-+#0]{0,3}\d{0,3}(?:\.\d{1,3})?[a-zA-Z]   # %% %<name>s
  | (?<![\w%])%[a-z_]\w{2,60}+(?![\w%])                                         # %name
  | (?<![\d%])%(?:\d{1,2}\$)?[-+#0]{0,3}(?:\d{0,3}|\*)(?:\.(?:\d{1,3}|\*))?
    (?:ll|l|h|z)?[sdifuxXoeEgGcpr@](?![A-Za-z])(?:%%)?                          # %s %1$s %.2f %d%%
  | <!--[^\n]{0,300}?--> | /\*[^*\n]{0,200}\*/                                  # comments
  | \#!/[^\s]{1,60} | \#include\s?[<"][^<>"\n]{1,80}[>"]
  | (?<![\w*])\*{1,2}[a-z_]\w{0,60}+(?![^*\n]{0,200}\*)                           # **kwargs
  | (?<![\w^])\^[^\s^$]{2,60}\$(?!\w)                                             # ^[a-z]+$
  | <[/|!]?[A-Za-z0-9][\w|:.-]{0,60}(?:\s[^<>\n]{0,300}=[^<>\n]{0,300})?\s?[/|]?>  # <b> </s> <2de> <|end|> <a href="">
  | &(?:[A-Za-z][\w.-]{1,60}|\#[0-9]{1,7}|\#[xX][0-9a-fA-F]{1,6});         # &nbsp;
  | (?<!\w)\\\\(?=\w)[^PATH_END]*+                                              # \\server\share
  | (?<![\w/.:~<\[-])(?:~|\.{1,2})?/(?:[\w.@+%-]++/)*+[\w.@+%-]*[\w](?:/(?![\w/]))?   # /usr/bin/python
  | (?<![\w@.\#-])@[A-Za-z_]\w{0,60}+(?:[.-]\w{1,60}+)*+                        # @name
  | (?<![\w\#&])\#\w{1,100}+                                                    # #tag
  | (?<![\w$])\$[A-Za-z_]\w{0,60}+(?:(?:\.|->|::)[A-Za-z_]\w{0,60}+|\[\w{0,60}\])*+\$?+   # $name
  | (?<![\w:/\\.]):{1,2}[A-Za-z_]\w{0,60}+:?(?![\w:])                           # :name
  | (?<![\w-])--?[A-Za-z][\w-]{0,60}+(?:=[^\s,;]{1,100})?(?=[\s.,;:!?)]|\Z)     # --flag
  | (?<![\w)\]])(?<!\d\ )[-−–+±](?=\d)NUMBER(?![\w%€$£°])                        # -5
  | (?:[<>=!~]=|[<>≤≥≈=±~^])\s?-?NUMBER(?:\s?UNIT)?(?!\w)                        # > 5, >=3.8
  | §{1,2}\s?\d++[a-z]?(?:\s?[-–]\s?\d++[a-z]?)?(?!\w)                           # §§ 1–3
  | [\u2318\u2325\u21e7\u2303]{1,3}\w(?!\w)                                        # ⌘C
  | [SYMBOLS†‡]{1,20}(?:\s?\d++(?:[.,]\d++)*+)?(?!\w)                               # √2, № 5
  | (?<!\S)(?:\#|::|&&|={2,10}|\\{1,2}|[·•^°@$%~|])(?!\S)               # a sign among words
  | \\\d{1,2}(?!\w) | (?<![\w>&])>{1,2}&\d(?!\w)                                  # \1, >&1
  | [\ufffc\ufffd©®™§¶±×÷−]
    )
  | (?<![A-Za-z0-9_])(?=\w)(?:  # what begins with a letter, a digit or an underscore
    (?<![A-Za-z0-9])(?:[A-Za-z][A-Za-z0-9+.-]{1,20}://|(?i:www\.|mailto:|tel:))[^URL_END]+  # https://example.org/path
  | (?<![\w.+-])[a-z][\w.+-]{0,60}@[a-z][\w-]{0,60}+(?:\.[\w-]{1,60}+){0,5}:[\w./~-]{1,200}  # git@host:path
  | (?<![\w.+-])(?:[\w.+-]|(?<=\w)['’](?=\w)){1,64}+
    @(?:[\w-]{1,63}+\.){1,5}[A-Za-z]{2,24}(?![\w@])                             # name@example.org
  | (?<![\w.+-])[a-z][\w+-]{0,60}@[a-z][\w-]{0,60}+(?![\w@.])                     # user@host
  | (?<![\w.@:/-])[a-z][\w-]{0,60}+(?:\.[\w-]{1,60}+){0,5}:\d{2,5}(?![\w:])        # localhost:80
  | (?<![\w:])(?:[0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}(?![\w:])                       # AA:BB:CC:DD:EE:FF
  | (?<![\w:])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6}(?:::|:(?=[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){4}))
    (?:[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){0,6})?(?![\w:])                        # 2001:db8::1
  | (?<!\w)(?:text|application|image|audio|video|font|multipart)/[\w.+-]*\w          # text/html
  | (?<!\w)(?:GET|POST|PUT|PATCH|DELETE|HEAD|OPTIONS)\s/[^\s,;]{0,200}                # GET /path
  | (?<!\w)(?:ISBN|ISSN|ISO|RFC|CVE|DIN|IEEE|BIC|DOI|HTTP)[ -](?=[\w./-]{0,60}\d)[\w./-]{0,60}\w
  | (?<!\w)(?:SELECT|INSERT|UPDATE|DELETE|CREATE|ALTER|DROP)\s[^;\n]{1,120}(?:FROM|INTO|SET|TABLE)\s[^;\n]{1,120};
  | (?<!\w)(?:Ctrl|Strg|Cmd|Alt|Shift|Win)(?:\s?[+]\s?\w{1,12}){1,3}(?!\w)           # Shift + Tab
  | (?<![\w.,'’-])(?:X{0,3}(?:IX|IV|V?I{0,3}))(?<=[IVX]{2})(?![\w'’-])              # XIV
  | [SYMBOLS]{1,20}(?!\w)
  | (?<!\w)(?:[A-Za-z]{1,2}|\d{1,20}+|(?:[A-Z][a-z]?[₀-₉]{0,3}){1,8})[¹²³\u2070-\u209f]{1,20}[A-Za-z₀-₉]{0,20}(?!\w)
  | (?<!\w)[A-Za-z](?:[|\\:;,][A-Za-z])+(?!\w) | (?<![\w-])[A-Z]-[A-Z](?![\w-])      # a|b
  | (?<!\w)[a-z]\w?--(?![\w-]) | (?<![\w.])[a-z]\[[^\[\]\s]{1,20}\] | (?<![\w.])[a-z]\w{0,20}\[[ijkn]\]  # a[0]
  | (?<!\w)[A-Z]\w{0,60}+<(?:[A-Z]\w{0,60}+(?:,\s?[A-Z]\w{0,60}+)?|TYPES)>          # List<String>
  | (?<![\w.])[A-Za-z_]\w{0,60}+(?=[\[\]\d]{0,30}\[0\])(?:\[\d{1,4}+\]){1,4}         # a[0][1]
  | (?<!\w)[A-Za-z]\([A-Za-z](?:\s?[-+*^]\s?\w{1,3}|\slog\s[a-z])?\)                # f(x), O(n log n)
  | (?<![\w-])[a-z]{2,8}-\d{1,4}+(?![\w-])                                        # utf-8
  | (?<![\w.])[A-Za-z_][\w.]{0,60}\s?(?:[-+*/%|&^]|\|\||&&|\?\?|<<|>>)=\s?[\w.]{1,60}(?!\w)  # x += 1
  | (?<!\w)[A-Za-z_][\w.-]{0,60}=(?:"[^"\n]{0,100}"|'[^'\n]{0,100}')              # KEY="a b"
  | (?<![\w.@-])(?:[A-Za-z0-9-]{1,63}+\.){1,5}(?:com|org|net|edu|gov|info|io|dev|app|eu|de|fr|es|it|nl|pl|ch|at|uk|us)
    (?![\w@-])(?!\.\w)(?:/[^URL_END]*)?                                         # example.org/path
  | (?<![:.\\])[A-Za-z]:\\[^PATH_END]*+                                            # C:\file
  | (?<![\w/.:])(?=[\w.@+-]{0,60}/[\w./@+-]{0,100}(?:[._]\w|/))[\w.@+-]++(?:/[\w.@+-]++)++/?   # src/main.rs
  | (?<![\w/.*])(?:[\w.-]{1,60}+/){1,6}\*{1,2}[\w./*-]{0,60}                        # src/**/*.ts
  | (?<![\w.-])[A-Za-z_][\w./-]{0,60}@\d{1,10}+(?:\.\w{1,20}+){0,5}(?!\w)       # node@18.2
  | (?<!\w)[A-Za-z_][\w.-]{0,60}=["']?[\w./:@-]{0,100}\w["']?(?!\w)             # KEY=value
  | (?<!\w)[A-Z]\w{1,8}+(?:\+[A-Z0-9]\w{0,8}+){1,3}+(?!\w)                       # Ctrl+C
  | (?<!\w)[A-Z]{2}\d{2}(?:[ ]?[A-Z0-9]{4}){2,7}(?:[ ]?[A-Z0-9]{1,3})?(?!\w)      # IBAN
  | (?<![\w.-])(?=[\w/-]{0,60}\d)(?:[A-Z]{1,6}|[A-Za-z]?\d[A-Za-z0-9]{0,10}+)
    (?:[-/](?:[A-Z]{1,6}|[A-Z]?\d[A-Za-z0-9]{0,10}+)){1,6}+(?![\w-])            # A-10023, COVID-19, 1/2
  | (?<!\w)(?:[A-Z]{1,5}&[A-Z]{1,5}(?!\w)|[A-Z](?:\+\+|\#)(?![\w+\#]))                # AT&T, C++
  | (?<![\w/])(?:[A-Z]{1,4}(?:/[A-Z]{1,4})+|[a-z]/[a-z])(?![\w/])               # N/A, TCP/IP, n/a
  | (?<![\w.])[\w-]{1,60}+(?:\.[\w-]{1,60}+){0,3}?\.(?:EXTENSIONS)(?![\w-])(?!\.\w)   # file.py
  | (?<![\w.])[A-Za-z_]\w{0,60}+(?:\.\w{1,60}+){1,5}+\([^()\n]{0,80}\)           # list.append(x)
  | (?<![\w.])(?:[A-Za-z_][\w]{0,60}+(?:::|->|\.(?=\w{1,60}\())){1,5}~?[A-Za-z_]\w{0,60}+(?:\(\))?  # std::vector
  | (?<![\w.])[A-Za-z_]\w{0,60}+(?P<space>\s?)(?:[=!]==?|&&|\|\||:=)(?P=space)[A-Za-z_]\w{0,60}+(?!\w)  # x == null
  | (?<![\w.])[A-Za-z_][\w.]{0,60}+\((?=\)|[^()\n]{0,80}[,_="'\d])[^()\n]{0,80}\)   # name() name(x, 1)
  | (?<![\w.@-])(?:(?:[a-z][a-z0-9_]{1,60}+\.){1,5}[a-z][a-z0-9_]{1,60}+|(?:[a-z][a-z0-9_]{1,60}+\.){2,5}[A-Z]\w{1,60}+)
    (?![\w(@-])(?!\.\w)                                                          # user.email, com.example.Name
  | (?<![\w.])(?:self|this|cls)\.[a-z](?![\w(])                                   # self.x
  | (?<!\w)(?:_{0,3}[A-Za-z0-9]{1,60}+(?:_{1,3}[A-Za-z0-9]{1,60}+){1,10}+_{0,3}|_{1,3}[A-Za-z0-9]{1,60}+_{1,3})(?!\w)
  | (?<![\w.])(?:[vV]\d++(?:\.\d++)*+|\d++\.\d++\.\d++(?:\.\d++)*+)(?:[-+](?=[\w.]*\w)[\w.-]{0,30}\w)?+(?!\w)  # v1.2-rc
  | (?<![\w-])[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}(?![\w-])     # UUID
  | (?<![\w.])\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d)?(?:\.\d++)?(?:Z|[-+]\d\d:?\d\d)?(?![\w])   # ISO time
  | (?<!\w)[a-z]{1,60}+(?:[A-Z][a-z0-9]{0,60}+){1,10}+(?!\w)                    # getName
  | (?<!\w)[A-Z][a-z0-9]{1,60}+(?:[A-Z][a-z0-9]{0,60}+){1,10}+(?<!In)(?<!Innen)(?!\w)   # HttpRequest
  | (?<!\w)(?=[A-Za-z]{1,20}\d)[A-Za-z]{1,20}+\d[A-Za-z0-9]{0,40}+(?!\w)        # x86, sha256
  | (?<!\w)\d{1,2}\s?h\s?\d\d(?!\w)                                             # 8 h 45
  | (?<!\w)\d>&\d(?!\w)                                                         # 2>&1
  | (?<![\w.])0(?:[xX][0-9A-Fa-f_]{1,40}+|b[01_]{1,40}+|o[0-7_]{1,40}+)(?!\w)      # 0xFF
    )
    """.replace("EXPRESSION", r"""
      (?:\d++(?:[.,]\d++)*+%?|[A-Za-zα-ωΑ-Ω](?:[²³]|\d)?|[A-Za-z]\w{0,20}\(\w\))
      (?:\s?(?:[=≠<>≤≥≈×÷^]|[<>!=]=|->|=>)\s?-?|\s[-+*/−±&|]\s|(?<=\d)[+*×÷^](?=\d))
      (?:\d++(?:[.,]\d++)*+%?|[A-Za-zα-ωΑ-Ω](?:[²³]|\d)?(?!\w))
      (?:\s?(?:[=≠<>≤≥≈×÷^+*/−±-]|[<>!=]=)\s?(?:\d++(?:[.,]\d++)*+%?|[A-Za-zα-ωΑ-Ω](?:[²³]|\d)?(?!\w))){0,20}+
    """)
    .replace("UNIT", _UNIT).replace("NUMBER", _NUMBER).replace("CURRENCY", _CURRENCY)
    .replace("SYMBOLS", _SYMBOLS)
    .replace("TYPES", r"[iuf]\d{1,3}|u?int\d{0,3}|any|bool|boolean|byte|char|double|float|long|number|object|short|str"
             "|string|void")
    .replace("EXTENSIONS", "py|js|ts|tsx|jsx|rs|go|rb|php|java|kt|c|h|cc|cpp|hpp|cs|sh|bat|ps1|sql|html?|css|xml|json|"
             "ya?ml|toml|ini|cfg|conf|env|lock|log|txt|md|rst|csv|tsv|pdf|docx?|xlsx?|pptx?|odt|png|jpe?g|gif|svg|webp|"
             "mp3|mp4|wav|avi|mov|zip|tar|gz|bz2|7z|exe|dll|so|deb|rpm|apk|jar|iso|onnx|bin|dat|db|bak|tmp|po|srt")
    .replace("URL_END", r'\s\u200b\ufeff<>"`{}|\\^\u3001\u3002\uff0c\uff01\uff1f')
    .replace("PATH_END", r'\s<>"|*?`'),
    re.VERBOSE,
)  # fmt: skip

SEARCHED = 2048  # characters in which a span begins, at a time
MARGIN = 2048  # characters behind them: more than any span whose length is bounded, and what may have to follow it
_AMPERSAND = re.compile(r"(?<=\s)&(?=\s)")


def find_protected_spans(text: str, language: str = "") -> list[Span]:
    """Return the spans that a translation must not change, in order; adjacent spans are merged.

    Words in a script that the language does not use are among them; for a language without a known script, they are
    not.
    """
    if not _may_have_spans(text):
        return []
    spans: list[Span] = []
    for start, end in sorted(_found(text, language)):
        if spans and start <= spans[-1][1]:
            spans[-1] = (spans[-1][0], max(end, spans[-1][1]))
        else:
            spans.append((start, end))
    return spans


def _may_have_spans(text: str) -> bool:
    if not _SIGNS.isdisjoint(text) or _JOINED.search(text):
        return True
    if not text.isascii() and _RARE.search(text):
        return True
    return not _DIGITS.isdisjoint(text) and _QUANTITY.search(text) is not None


def _found(text: str, language: str) -> Iterator[Span]:
    yield from find_arguments(text)
    for start, end in _search_protected(text):
        yield start, _strip_punctuation(text, start, end) if text[start].isalnum() else end
    if "&" in text:
        yield from (match.span() for match in _AMPERSAND.finditer(text))
    if text.isascii():
        return
    if uses_latin_script(language):
        yield from find_foreign_words(text)
    if language in _ALPHABETS:
        yield from (match.span() for match in _OTHER_LETTERS.finditer(text))


def _search_protected(text: str) -> Iterator[Span]:
    """Yield the spans of `_PROTECTED`, as `finditer` would, except for numbers of more digits than `MARGIN`.

    Only a search in a part of the text lets other threads run between two parts: 20,000 full stops take 50 ms.
    """
    position = 0
    while position + SEARCHED + MARGIN < len(text):
        border = position + SEARCHED
        match = _PROTECTED.search(text, position, border + MARGIN)
        if match is None or match.start() >= border:
            position = border
            continue
        if match.end() > border:  # it may be longer, or another one without the border
            match = _PROTECTED.search(text, match.start())
            if match is None:
                return
        yield match.span()
        position = match.end()
    yield from (match.span() for match in _PROTECTED.finditer(text, position))


def find_foreign_words(text: str) -> list[Span]:
    """Return the spans of words in another script than Latin; words side by side are one span."""
    return [match.span() for match in _FOREIGN.finditer(text)]


def _strip_punctuation(text: str, start: int, end: int) -> int:
    """Return the end of a URL or address without the punctuation that belongs to the sentence around it.

    What closes a parenthesis, a bracket or a quotation of the URL stays.
    """
    closes_bracket = text[end - 1] == "]" and "[" in text[start:end]
    if closes_bracket or (text[end - 1] in "\"'" and text.count(text[end - 1], start, end) == 2):
        return end
    unopened = text.count(")", start, end) - text.count("(", start, end)
    while text[end - 1] in ".,;:!?'\"*_])»”’…":
        if text[end - 1] == ")":
            if unopened <= 0:
                break
            unopened -= 1
        end -= 1
    return end
