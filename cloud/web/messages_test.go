package web

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/evanw/esbuild/pkg/api"

	"github.com/busbar/busbar/cloud/headend"
	inference "github.com/busbar/busbar/cloud/outage"
	"github.com/busbar/busbar/cloud/outage/lifecycle"
	"github.com/busbar/busbar/telemetry"
	"github.com/busbar/busbar/test/peer"
	"github.com/busbar/busbar/test/typescript"
)

// catalogue is a language's texts by their key; one that depends on a number has one a
// plural form.
type catalogue map[string]map[string]string

// catalogueOf is what a file of src/messages exports, and the plural forms of its language.
// A text with no forms is its own form "".
func catalogueOf(t *testing.T, language string) (texts catalogue, forms []string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("src", "messages", language+".ts"))
	if err != nil {
		t.Fatal(err)
	}
	script := api.Transform(string(source), api.TransformOptions{Loader: api.LoaderTS, Format: api.FormatESModule})
	if len(script.Errors) > 0 {
		t.Fatalf("%s: %s", language, script.Errors[0].Text)
	}
	file := filepath.Join(t.TempDir(), language+".mjs")
	if err := os.WriteFile(file, script.Code, 0o644); err != nil {
		t.Fatal(err)
	}
	const tell = `const {default: all} = await import(process.argv[1]);
const texts = Object.fromEntries(Object.entries(all).map(([key, text]) => [key, typeof text === "string" ? {"": text} : text]));
console.log(JSON.stringify({texts, forms: new Intl.PluralRules(process.argv[2]).resolvedOptions().pluralCategories}))`
	out, err := exec.CommandContext(t.Context(), peer.Program(t, "node", "nodejs"), "--input-type=module", "-e", tell, file, language).Output()
	if err != nil {
		t.Fatalf("%s: %v", language, err)
	}
	var answer struct {
		Texts catalogue `json:"texts"`
		Forms []string  `json:"forms"`
	}
	if err := json.Unmarshal(out, &answer); err != nil {
		t.Fatal(err)
	}
	return answer.Texts, answer.Forms
}

// languages are those that have a file.
func languages(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("src/messages/??.ts")
	if err != nil || len(files) < 3 {
		t.Fatalf("%v, %v", files, err)
	}
	for i, name := range files {
		files[i] = strings.TrimSuffix(filepath.Base(name), ".ts")
	}
	return files
}

// TestCatalogues finds texts that don't say what the English ones do: without a name that is
// put in, or without a plural form that their language has. That each text is there, and is
// of the English one as it is now, is for the type checker.
func TestCatalogues(t *testing.T) {
	english, _ := catalogueOf(t, "en")
	if len(english) < 700 {
		t.Fatalf("only %d texts", len(english))
	}
	names := func(text string) string {
		found := regexp.MustCompile(`\{\w+\}`).FindAllString(text, -1)
		slices.Sort(found)
		return strings.Join(slices.Compact(found), " ")
	}
	for _, language := range languages(t) {
		texts, forms := catalogueOf(t, language)
		for key, text := range texts {
			plain, is := text[""]
			if !is {
				for _, form := range forms {
					if text[form] == "" {
						t.Errorf("%s: %q has no text for the plural form %s", language, key, form)
					}
				}
				if len(text) != len(forms) {
					t.Errorf("%s: %q has %d forms, expected %s", language, key, len(text), forms)
				}
			} else if plain == "" {
				t.Errorf("%s: %q is empty", language, key)
			}
			for form, said := range text {
				for _, source := range english[key] {
					if names(said) != names(source) {
						t.Errorf("%s: %q %s: %q, expected the names of %q", language, key, form, said, source)
					}
				}
			}
		}
	}
}

// A text that is new, gone or has changed in English makes every catalogue wrong that doesn't
// follow, and the type checker says where.
func TestTypesRefuseStaleTranslations(t *testing.T) {
	english, err := os.ReadFile("src/messages/en.ts")
	if err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct{ from, to, want string }{
		"nothing":         {"", "", ""},
		"a new text":      {"export default {", "export default {\n  \"nav.new\": \"New\",", `"nav.new"`},
		"another text":    {`"nav.alarms": "Alarms"`, `"nav.alarms": "Alerts"`, `"Alerts"`},
		"another plural":  {`other: "{n} alarms" }`, `other: "{n} alerts" }`, `"{n} alerts"`},
		"one that's gone": {`  "nav.alarms": "Alarms",` + "\n", "", `"nav.alarms"`},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, language := range append(languages(t), "translation") {
				text, err := os.ReadFile("src/messages/" + language + ".ts")
				if err != nil {
					t.Fatal(err)
				}
				if language == "en" {
					changed := strings.Replace(string(english), tt.from, tt.to, 1)
					if what != "nothing" && changed == string(english) {
						t.Fatalf("en.ts has no %q", tt.from)
					}
					text = []byte(changed)
				}
				if err := os.WriteFile(filepath.Join(dir, language+".ts"), text, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			config := filepath.Join(dir, "tsconfig.json")
			if err := os.WriteFile(config, []byte(`{"compilerOptions": {"target": "es2023", "lib": ["es2023"], "module": "esnext", "moduleResolution": "bundler", "strict": true, "noEmit": true, "types": []}}`), 0o644); err != nil {
				t.Fatal(err)
			}
			said := typescript.Complaints(t, "--project", dir)
			if tt.want == "" {
				if said != "" {
					t.Error(said)
				}
				return
			}
			for _, language := range languages(t) {
				if language != "en" && !regexp.MustCompile(`(?m)^.*`+language+`\.ts\(\d+,\d+\): error .*\n?(  .*\n)*`).MatchString(said) || !strings.Contains(said, tt.want) {
					t.Errorf("%s: expected a complaint about %s, got:\n%.2000s", language, tt.want, said)
				}
			}
		})
	}
}

// literals are words in the pages of a project that no catalogue has.
func literals(t *testing.T, config string) string {
	t.Helper()
	compiler := filepath.Join(peer.Root(), ".peers", "tsc", "node_modules", "typescript")
	if _, err := os.Stat(compiler); err != nil {
		peer.Missing(t, "no TypeScript: make peers")
	}
	out, err := exec.CommandContext(t.Context(), peer.Program(t, "node", "nodejs"), "testdata/literals.mjs", compiler, config).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return string(out)
}

// TestTextsAreInCatalogues fails for what people would read or hear and no catalogue has.
func TestTextsAreInCatalogues(t *testing.T) {
	if found := literals(t, "tsconfig.json"); found != "" {
		t.Errorf("these belong into src/messages:\n%s", found)
	}
}

func TestLiteralsAreFound(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "src", "messages"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"tsconfig.json":      `{"compilerOptions": {"jsx": "preserve", "module": "esnext", "types": []}, "include": ["src"]}`,
		"src/messages/en.ts": `export default {"nav.alarms": "Alarms of today"};`,
		"src/fine.tsx":       "export const a = (n: number) => <p class=\"wide alarm\" title={t('nav.alarms')}>{n} · {`${n}–${n}`} {n === 1 ? t(\"nav.one\") : \"–\"}</p>;\n",
		"src/words.tsx": `export const a = (n: number) => <p title="Said" aria-label={n > 1 ? "Many" : "Few"}>
  Written {n > 1 && "Shown"} {` + "`${n} alarms`" + `} {"Joined" + n}
</p>;
const told = "Could not be done";
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want := `src/words.tsx:1:42: "Said"
src/words.tsx:1:69: "Many"
src/words.tsx:1:78: "Few"
src/words.tsx:2:3: "Written"
src/words.tsx:2:21: "Shown"
src/words.tsx:2:31: "… alarms"
src/words.tsx:2:47: "Joined"
src/words.tsx:4:14: "Could not be done"
`
	if got := literals(t, filepath.Join(dir, "tsconfig.json")); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// TestMessagesAreUsed fails for texts that no source shows. That each shown
// text exists is for the type checker.
func TestMessagesAreUsed(t *testing.T) {
	var sources strings.Builder
	err := fs.WalkDir(os.DirFS("src"), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(strings.TrimSuffix(name, "x"), ".ts") || strings.HasPrefix(name, "messages/") {
			return err
		}
		body, err := os.ReadFile("src/" + name)
		sources.Write(body)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	english, _ := catalogueOf(t, "en")
	for key := range english {
		at := strings.LastIndexByte(key, '.')
		group, last := key[:at], key[at:]
		used := []string{`"` + key + `"`, "`" + group + ".${", "}" + last + "`", `coded("` + group + `"`, `: "` + group + `"`, `name="` + group + `"`}
		if !slices.ContainsFunc(used, func(text string) bool { return strings.Contains(sources.String(), text) }) {
			t.Errorf("%q is never shown", key)
		}
	}
}

// TestCodesHaveTexts fails for a code that the API may give and the console has no word for.
func TestCodesHaveTexts(t *testing.T) {
	english, _ := catalogueOf(t, "en")
	want := map[string]string{}
	for group, codes := range map[string][]lifecycle.Code{"cause": lifecycle.Causes, "failure": lifecycle.Failures, "remedy": lifecycle.Remedies} {
		for _, code := range codes {
			want[group+"."+code.Code] = code.Name
		}
	}
	for _, kind := range inference.Kinds {
		want["evidence."+string(kind)] = ""
	}
	for _, kind := range headend.EventKinds {
		want["meter."+string(kind)] = ""
	}
	for q := range 1 << 16 {
		validity, why, _ := strings.Cut(strings.TrimSuffix(telemetry.Quality(q).String(), ")"), " (")
		for _, word := range append(strings.Split(why, ", "), validity) {
			if word != "" {
				want["quality."+word] = word
			}
		}
	}
	for key, text := range want {
		if said := english[key][""]; said != cmp.Or(text, said) || said == "" {
			t.Errorf("en.ts: %q is %q, expected %q", key, said, cmp.Or(text, "a text"))
		}
	}
}
