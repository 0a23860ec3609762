"""Write a minimal .xlsx file: a zip of XML, with texts in place."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape
from zipfile import ZipFile

_TYPES = (
    '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">'
    '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    '<Default Extension="xml" ContentType="application/xml"/>'
    '<Override PartName="/xl/workbook.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>'
    '<Override PartName="/xl/worksheets/sheet1.xml" '
    'ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/></Types>'
)
_OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_RELATIONS = (
    '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
    '<Relationship Id="rId1" Type="{type}" Target="{target}"/></Relationships>'
)
_MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"


def write_spreadsheet(path: Path, rows: Sequence[Sequence[str | float]]) -> None:
    """Write one sheet, `Rows`, with texts and numbers."""
    lines = "".join(
        f'<row r="{r}">{"".join(_cell(value, f"{chr(65 + c)}{r}") for c, value in enumerate(row))}</row>'
        for r, row in enumerate(rows, 1)
    )
    with ZipFile(path, "w") as file:
        file.writestr("[Content_Types].xml", _TYPES)
        file.writestr("_rels/.rels", _RELATIONS.format(type=f"{_OFFICE}/officeDocument", target="xl/workbook.xml"))
        relation = _RELATIONS.format(type=f"{_OFFICE}/worksheet", target="worksheets/sheet1.xml")
        file.writestr("xl/_rels/workbook.xml.rels", relation)
        book = f'<sheets><sheet name="Rows" sheetId="1" r:id="rId1" xmlns:r="{_OFFICE}"/></sheets>'
        file.writestr("xl/workbook.xml", f'<workbook xmlns="{_MAIN}">{book}</workbook>')
        sheet = f'<worksheet xmlns="{_MAIN}"><sheetData>{lines}</sheetData></worksheet>'
        file.writestr("xl/worksheets/sheet1.xml", sheet)


def _cell(value: str | float, place: str) -> str:
    if isinstance(value, str):
        return f'<c r="{place}" t="inlineStr"><is><t>{escape(value)}</t></is></c>'
    return f'<c r="{place}"><v>{value}</v></c>'
