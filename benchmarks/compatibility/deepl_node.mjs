// All calls of DeepL's client for JavaScript that the shipped models can answer.
//
//     make serve
//     npm install deepl-node        in a folder of its own, from which the next line is run
//     cp .../benchmarks/compatibility/deepl_node.mjs . && node deepl_node.mjs [URL] [KEY]
//
// Not called, because the service does not have them: rephraseText, style rules, translation memories, formality,
// custom instructions.
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as deepl from "deepl-node";

const [url = "http://127.0.0.1:8000", key = "any"] = process.argv.slice(2);
const client = new deepl.DeepLClient(key, { serverUrl: url });
const folder = mkdtempSync(join(tmpdir(), "deepl-"));
const entries = (terms) => new deepl.GlossaryEntries({ entries: terms });
const answered = [];
const failed = [];

async function call(name, run) {
  try {
    const answer = await run();
    answered.push(name);
    return answer;
  } catch (error) {
    failed.push(`  ${name}: ${String(error).slice(0, 300)}`);
  }
}

const translate = (text, target, options) => client.translateText(text, "de", target, options);
await call("translateText", async () => {
  const result = await client.translateText("Guten Morgen", null, "en-US");
  assert.equal(result.text, "Good morning");
  assert.equal(result.detectedSourceLang, "de");
  assert.equal(result.billedCharacters, 12);
});
await call("translateText: a list", async () => assert.equal((await translate(["Hallo", "Danke"], "en-GB")).length, 2));
await call("translateText: blank", async () => assert.equal((await translate("  ", "en-GB")).text, "  "));
await call("translateText: HTML", async () =>
  assert.match((await translate("<p>Guten <b>Morgen</b></p>", "en-GB", { tagHandling: "html" })).text, /<b>.*<\/b>/));
await call("translateText: XML", async () => {
  const options = { tagHandling: "xml", ignoreTags: ["x"], splittingTags: ["p"], nonSplittingTags: ["b"], outlineDetection: false };
  assert.match((await translate("<p>Guten <x>Morgen</x></p>", "en-GB", options)).text, /<x>Morgen<\/x>/);
});
await call("translateText: modelType", async () =>
  assert.equal((await translate("Hallo", "en-GB", { modelType: "prefer_quality_optimized" })).modelTypeUsed, "quality_optimized"));
await call("translateText: options without effect", () =>
  translate("Hallo", "en-GB", { splitSentences: "nonewlines", preserveFormatting: true, context: "x", formality: "prefer_more" }));
await call("translateText: extraRequestParameters", () => translate("Hallo", "en-GB", { extraRequestParameters: { a: "1" } }));
await call("getUsage", async () => assert.ok((await client.getUsage()).character.count > 0));
await call("getSourceLanguages", async () => assert.equal((await client.getSourceLanguages()).length, 4));
await call("getTargetLanguages", async () => assert.equal((await client.getTargetLanguages()).length, 5));
await call("getGlossaryLanguagePairs", async () => assert.equal((await client.getGlossaryLanguagePairs()).length, 12));

const glossary = await call("createGlossary", () => client.createGlossary("one", "de", "en", entries({ Hund: "hound" })));
writeFileSync(join(folder, "terms.csv"), "Katze,cat");
await call("createGlossaryWithCsv", async () =>
  client.deleteGlossary(await client.createGlossaryWithCsv("csv", "de", "en", join(folder, "terms.csv"))));
await call("getGlossary", async () => assert.equal((await client.getGlossary(glossary.glossaryId)).name, "one"));
await call("listGlossaries", async () => assert.ok((await client.listGlossaries()).length));
await call("getGlossaryEntries", async () => assert.deepEqual((await client.getGlossaryEntries(glossary)).entries(), { Hund: "hound" }));
await call("translateText: glossary", async () =>
  assert.match((await translate("Der Hund schläft.", "en-US", { glossary })).text, /hound/));
await call("deleteGlossary", () => client.deleteGlossary(glossary));

const dictionary = (terms) => ({ sourceLangCode: "de", targetLangCode: "en", entries: entries(terms) });
const many = await call("createMultilingualGlossary", () => client.createMultilingualGlossary("many", [dictionary({ Hund: "dog" })]));
await call("createMultilingualGlossaryWithCsv", async () =>
  client.deleteMultilingualGlossary(await client.createMultilingualGlossaryWithCsv("csv", "de", "en", "Katze,cat")));
await call("getMultilingualGlossary", async () => assert.equal((await client.getMultilingualGlossary(many.glossaryId)).name, "many"));
await call("listMultilingualGlossaries", async () => assert.ok((await client.listMultilingualGlossaries()).length));
await call("getMultilingualGlossaryDictionaryEntries", () => client.getMultilingualGlossaryDictionaryEntries(many, "de", "en"));
await call("updateMultilingualGlossaryName", () => client.updateMultilingualGlossaryName(many, "other"));
await call("updateMultilingualGlossaryDictionary", () => client.updateMultilingualGlossaryDictionary(many, dictionary({ Katze: "cat" })));
await call("updateMultilingualGlossaryDictionaryWithCsv", () =>
  client.updateMultilingualGlossaryDictionaryWithCsv(many, "de", "en", "Maus,mouse"));
await call("replaceMultilingualGlossaryDictionary", () => client.replaceMultilingualGlossaryDictionary(many, dictionary({ Maus: "mouse" })));
await call("replaceMultilingualGlossaryDictionaryWithCsv", () =>
  client.replaceMultilingualGlossaryDictionaryWithCsv(many, "de", "en", "Maus,mouse"));
await call("deleteMultilingualGlossaryDictionary", () => client.deleteMultilingualGlossaryDictionary(many, "de", "en"));
await call("deleteMultilingualGlossary", () => client.deleteMultilingualGlossary(many));

const source = join(folder, "in.txt");
writeFileSync(source, "Guten Morgen");
await call("translateDocument", async () => {
  await client.translateDocument(source, join(folder, "out.txt"), "de", "en-US");
  assert.equal(readFileSync(join(folder, "out.txt"), "utf8"), "Good morning");
});
const handle = await call("uploadDocument", () => client.uploadDocument(source, "de", "en-US"));
await call("isDocumentTranslationComplete", () => client.isDocumentTranslationComplete(handle));
await call("getDocumentStatus", async () => assert.ok((await client.getDocumentStatus(handle)).ok()));
await call("downloadDocument", () => client.downloadDocument(handle, join(folder, "other.txt")));

console.log(`${answered.length} of ${answered.length + failed.length} calls answered`);
console.log(failed.join("\n"));
process.exit(failed.length ? 1 : 0);
