// A request as a program that a reader can run. The key itself is never shown.

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

const indented = (text) => text.replaceAll("\n", "\n    ");

// JSON is valid JavaScript, and valid Python but for three words, which are not in a request's values unquoted.
const pythonOf = (body) => indented(JSON.stringify(body, null, 4));

export const programs = {
  curl: ({ url, body, key }) =>
    [
      `curl -s ${shell(url)} -H 'Content-Type: application/json' \\`,
      ...(key ? [`     -H "Authorization: Bearer $ATTENDANT_API_KEY" \\`] : []),
      `     -d ${shell(JSON.stringify(body))}`,
    ].join("\n"),

  python: ({ url, body, key }) => `import json
${key ? "import os\n" : ""}from urllib.request import Request, urlopen

request = Request(
    ${JSON.stringify(url)},
    data=json.dumps(${pythonOf(body)}).encode(),
    headers={
        "Content-Type": "application/json",${key ? '\n        "Authorization": "Bearer " + os.environ["ATTENDANT_API_KEY"],' : ""}
    },
)
with urlopen(request) as response:
    print(json.load(response)["translations"][0]["text"])`,

  javascript: ({ url, body, key }) => `const response = await fetch(${JSON.stringify(url)}, {
  method: "POST",
  headers: {
    "Content-Type": "application/json",${key ? "\n    Authorization: `Bearer ${process.env.ATTENDANT_API_KEY}`," : ""}
  },
  body: JSON.stringify(${JSON.stringify(body, null, 2).replaceAll("\n", "\n  ")}),
});
const { translations } = await response.json();
console.log(translations[0].text);`,
};
