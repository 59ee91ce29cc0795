// Prints where a project's pages have words of their own, which the catalogues should have:
//
//	node literals.mjs DIRECTORY_OF_THE_COMPILER tsconfig.json
import { join, relative, resolve } from "node:path";
import { pathToFileURL } from "node:url";

const [compiler, config] = process.argv.slice(2);
const load = (part) => import(pathToFileURL(resolve(compiler, "dist", part)).href);
const [{ API }, { SyntaxKind }, is] = await Promise.all([load("api/sync/api.js"), load("ast/index.js"), load("ast/is.js")]);

/** Attributes that are read or heard. */
const said = /^(title|placeholder|alt|label|legend|summary|content|aria-(label|description|valuetext|roledescription|placeholder|braillelabel))$/;
const word = /\p{L}/u;
/** What is one wherever it stands, and what is the name of a text. */
const sentence = /^\p{Lu}\p{L}*\S* \p{L}{2,}/u;
const key = /^[a-z]\w*(\.[\w-]+)+$/;

const sources = join(resolve(config), "..", "src");

const api = new API();
try {
  const program = api.updateSnapshot({ openProjects: [resolve(config)] }).getProject(resolve(config)).program;
  for (const name of program.getSourceFileNames()) {
    if (/\.tsx?$/.test(name) && name.startsWith(sources) && !name.startsWith(`${sources}/messages/`)) {
      look(program.getSourceFile(name));
    }
  }
} finally {
  api.close();
}

function look(file) {
  const report = (node, text) => {
    const at = file.text.slice(0, node.getStart(file)).split("\n");
    console.log(`${relative(join(resolve(config), ".."), file.fileName)}:${at.length}:${at.at(-1).length + 1}: ${JSON.stringify(text.trim())}`);
  };

  /** The words that an expression may come to. Those of a call are what it makes of them. */
  const shown = (node) => {
    if (is.isStringLiteral(node) || is.isNoSubstitutionTemplateLiteral(node)) {
      if (word.test(node.text) && !key.test(node.text)) {
        report(node, node.text);
      }
    } else if (is.isTemplateExpression(node)) {
      const text = [node.head, ...node.templateSpans.map((span) => span.literal)].map((part) => part.text).join("…");
      if (word.test(text)) {
        report(node, text);
      }
      node.templateSpans.forEach((span) => shown(span.expression));
    } else if (is.isConditionalExpression(node)) {
      shown(node.whenTrue);
      shown(node.whenFalse);
    } else if (is.isBinaryExpression(node)) {
      if (!/Equals|LessThan|GreaterThan/.test(SyntaxKind[node.operatorToken.kind])) {
        shown(node.left);
        shown(node.right);
      }
    } else if (is.isParenthesizedExpression(node)) {
      shown(node.expression);
    }
  };

  const visit = (node) => {
    if (is.isJsxText(node)) {
      if (word.test(node.text)) {
        report(node, node.text);
      }
    } else if (is.isJsxAttribute(node)) {
      const value = node.initializer;
      if (said.test(node.name.getText(file)) && value) {
        shown(is.isJsxExpression(value) ? value.expression : value);
      }
    } else if (is.isJsxExpression(node) && !is.isJsxAttribute(node.parent) && node.expression) {
      shown(node.expression);
    } else if ((is.isStringLiteral(node) || is.isNoSubstitutionTemplateLiteral(node)) && sentence.test(node.text)) {
      report(node, node.text);
    }
    node.forEachChild(visit);
  };
  visit(file);
}
