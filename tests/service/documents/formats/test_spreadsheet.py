"""Tests of service.documents.formats.spreadsheet: xlsx."""

import io

import pytest
from python_calamine import CalamineWorkbook

from service.documents.formats.spreadsheet import XLSX
from service.errors import InvalidDocument
from tests.service.documents.formats.office_files import DRAWING, IMAGE, TYPES_NAME, members, packed
from tests.service.documents.helpers import OPTIONS, capitals, round_trip

TYPE = "application/vnd.openxmlformats-officedocument"
SHEETS = f"{TYPE}.spreadsheetml"
MAIN = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
STRINGS = "xl/sharedStrings.xml"
RICH = (
    '<r><t xml:space="preserve">one </t></r><r><rPr><b/></rPr><t>two</t></r><r><t xml:space="preserve"> three</t></r>'
)
CELLS = (
    '<row r="1"><c r="A1" t="s"><v>0</v></c><c r="B1" t="s"><v>1</v></c></row>'
    '<row r="2"><c r="A2" t="s"><v>2</v></c><c r="B2"><v>5.5</v></c></row>'
    '<row r="3"><c r="A3" t="inlineStr"><is><t>green bird</t></is></c>'
    '<c r="B3" t="str"><f>A2&amp;"x"</f><v>dog x</v></c></row>'
)


def xlsx(*strings: str, table: str = "", main: str = "sheet.main") -> bytes:
    """Return a workbook with a sheet, whose shared strings have this content."""
    parts = {
        "xl/workbook.xml": f"{SHEETS}.{main}+xml", "xl/worksheets/sheet1.xml": f"{SHEETS}.worksheet+xml",
        STRINGS: f"{SHEETS}.sharedStrings+xml", "xl/comments1.xml": f"{SHEETS}.comments+xml",
        "xl/drawings/drawing1.xml": f"{TYPE}.drawing+xml", "xl/tables/table1.xml": f"{SHEETS}.table+xml",
    }  # fmt: skip
    types = "".join(f'<Override PartName="/{name}" ContentType="{kind}"/>' for name, kind in parts.items())
    target = f'<Relationship Id="r1" Type="{RELATIONS}/officeDocument" Target="xl/workbook.xml"/>'
    of_workbook = (
        f'<Relationship Id="r1" Type="{RELATIONS}/worksheet" Target="worksheets/sheet1.xml"/>'
        f'<Relationship Id="r2" Type="{RELATIONS}/sharedStrings" Target="sharedStrings.xml"/>'
    )
    items = "".join(f"<si>{one}</si>" for one in strings)
    return packed(
        {
            TYPES_NAME: f'<Types xmlns="{PACKAGE}/content-types">{types}</Types>',
            "_rels/.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{target}</Relationships>',
            "xl/_rels/workbook.xml.rels": f'<Relationships xmlns="{PACKAGE}/relationships">{of_workbook}'
            "</Relationships>",
            "xl/workbook.xml": f'<workbook xmlns="{MAIN}" xmlns:r="{RELATIONS}"><sheets>'
            '<sheet name="red house" sheetId="1" r:id="r1"/></sheets></workbook>',
            "xl/worksheets/sheet1.xml": f'<worksheet xmlns="{MAIN}"><sheetData>{CELLS}</sheetData></worksheet>',
            STRINGS: f'<?xml version="1.0" encoding="UTF-8" standalone="yes"?>\n<sst xmlns="{MAIN}">{items}</sst>',
            "xl/comments1.xml": f'<comments xmlns="{MAIN}"><authors><author>red dog</author></authors><commentList>'
            f'<comment ref="A1" authorId="0"><text>{RICH}</text></comment></commentList></comments>',
            "xl/drawings/drawing1.xml": f'<wsDr xmlns:a="{DRAWING}"><a:p><a:r><a:t>one bird</a:t></a:r></a:p></wsDr>',
            "xl/tables/table1.xml": f'<table xmlns="{MAIN}"><tableColumns>{table}</tableColumns></table>',
            "image.png": IMAGE,
        }
    )


def shared(content: bytes) -> list[str]:
    """Return the content of each shared string."""
    found = members(content)[STRINGS].decode()
    return found[found.index("<si>") + 4 : found.rindex("</si>")].split("</si><si>")


def test_unchanged_texts_give_the_same_bytes() -> None:
    content = xlsx("<t>one</t>", RICH, "<t>two\nthree</t>")
    assert round_trip(XLSX.read, content) == content


def test_cells_comments_and_text_boxes_are_translated_and_nothing_else() -> None:
    content = xlsx("<t>one house</t>", RICH, '<t xml:space="preserve"> dog </t>')
    changed = round_trip(XLSX.read, content, capitals)
    before, after = members(content), members(changed)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {
        STRINGS, "xl/comments1.xml", "xl/drawings/drawing1.xml", "xl/worksheets/sheet1.xml",
    }  # fmt: skip
    assert "<author>red dog</author>" in after["xl/comments1.xml"].decode()
    assert 'A2&amp;"x"</f><v>dog x</v>' in after["xl/worksheets/sheet1.xml"].decode()
    [sheet] = CalamineWorkbook.from_filelike(io.BytesIO(changed)).sheet_names
    assert sheet == "red house"
    rows = CalamineWorkbook.from_filelike(io.BytesIO(changed)).get_sheet_by_index(0).to_python()
    assert rows == [["ONE HOUSE", "ONE TWO THREE"], [" DOG ", 5.5], ["GREEN BIRD", "dog x"]]


def test_formats_of_words_move_with_them() -> None:
    [first] = shared(round_trip(XLSX.read, xlsx(RICH), capitals))
    assert "<r><rPr><b/></rPr>" in first
    assert first[first.index("<b/>") :].partition("</r>")[0].endswith(">TWO</t>")


def test_headings_of_tables_stay() -> None:
    """Excel repairs a file whose headings differ from the names of the table's columns."""
    table = '<tableColumn id="1" name="one house"/><tableColumn id="2" name="two_x000a_birds"/>'
    content = xlsx("<t>one house</t>", "<t>two\nbirds</t>", "<t>dog</t>", table=table)
    assert shared(round_trip(XLSX.read, content, capitals)) == ["<t>one house</t>", "<t>two\nbirds</t>", "<t>DOG</t>"]


def test_phonetic_guides_are_left_out_of_a_changed_text() -> None:
    guide = '<rPh sb="0" eb="1"><t>en</t></rPh><phoneticPr fontId="1"/>'
    [first] = shared(round_trip(XLSX.read, xlsx(f"<t>dog</t>{guide}"), capitals))
    assert first == '<t xml:space="preserve">DOG</t>'


def test_lines_of_a_cell_stay_lines() -> None:
    [first] = shared(round_trip(XLSX.read, xlsx("<t>One house.\nTwo birds.</t>"), capitals))
    assert first == "<t>ONE HOUSE.\nTWO BIRDS.</t>"


@pytest.mark.parametrize("content", [b"PK", xlsx("<t>a</t>", main="template.main"), xlsx("<t>a<t>")])
def test_other_files_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidDocument):
        XLSX.read(content, OPTIONS)
