package generate

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"ufm/internal/tokenizer"
)

// The templates here have the shapes of the families' own. What they must give was
// computed with Jinja, its blocks trimmed as the authors of the templates assume.
const (
	turnsTemplate = `{%- if messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- set ns = namespace(tools=true, last=messages|length - 1) %}
{%- for m in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.tools and m.role == "user" and m.content is string and not(m.content.startswith('<tool>')) %}
        {%- set ns.tools = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for m in messages %}
    {%- if m.role == "user" %}
        {{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>' + '\n' }}
    {%- elif m.role == "assistant" %}
        {%- set content = m.content.split('</think>')[-1].lstrip('\n') %}
        {{- '<|im_start|>' + m.role + '\n' + content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\n\n</think>\n\n' }}
    {%- endif %}
{%- endif %}`
	bracketsTemplate = `{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}` +
		`{{ raise_exception('roles must alternate') }}{% endif %}{% if m['role'] == 'user' %}` +
		`{{ '[INST] ' + m['content'] + ' [/INST]' }}{% else %}{{ m['content'] + eos_token }}{% endif %}{% endfor %}`
	linesTemplate = `{{ bos_token }}{% for m in messages %}
{% if m['role'] == 'user' %}
{{ '<|user|>
' + m['content'] }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
`
)

func TestChatTemplates(t *testing.T) {
	const message = "Hi <there> & 'you'\n\n"
	for name, test := range map[string]struct{ template, want string }{
		"turns":    {turnsTemplate, "<|im_start|>user\n" + message + "<|im_end|>\n<|im_start|>assistant\n"},
		"brackets": {bracketsTemplate, "<s>[INST] " + message + " [/INST]"},
		"lines":    {linesTemplate, "<s><|user|>\n" + message + "\n<|assistant|>\n"},
	} {
		c := chat{template: test.template, tokens: map[string]string{"bos_token": "<s>", "eos_token": "</s>"}}
		got, err := c.render(message)
		if err != nil || got != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, got, err, test.want)
		}
	}
}

func TestChatFiles(t *testing.T) {
	const tokens = `"bos_token":{"content":"<s>","special":true},"eos_token":"</s>","pad_token":null`
	for name, test := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":      {nil, ""},
		"text":      {map[string]string{"tokenizer_config.json": `{"chat_template":"a",` + tokens + `}`}, "a"},
		"list":      {map[string]string{"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"b"},{"name":"default","template":"c"}]}`}, "c"},
		"own file":  {map[string]string{"tokenizer_config.json": `{` + tokens + `}`, "chat_template.jinja": "d"}, "d"},
		"own first": {map[string]string{"tokenizer_config.json": `{"chat_template":"a"}`, "chat_template.jinja": "d"}, "d"},
	} {
		got, err := openChat(mapFS(test.files))
		if err != nil || got.template != test.want {
			t.Errorf("%s: got %q, %v, want %q", name, got.template, err, test.want)
		}
		if name == "text" && (got.tokens["bos_token"] != "<s>" || got.tokens["eos_token"] != "</s>") {
			t.Errorf("got tokens %v", got.tokens)
		}
	}
	if _, err := openChat(mapFS(map[string]string{"tokenizer_config.json": "{"})); err == nil {
		t.Error("a broken tokenizer_config.json is accepted")
	}
}

// TestChatRefusals: whatever cannot be done is said in one sentence.
func TestChatRefusals(t *testing.T) {
	for name, test := range map[string]struct{ template, want string }{
		"no template":     {"", "has no chat template"},
		"syntax":          {"{% nonsense %}", "not supported"},
		"its own refusal": {"{{ raise_exception('only tools') }}", "only tools"},
		"other files":     {"{% include '/etc/hostname' %}", "not supported"},
		"strange tokens":  {"<|im_start|>{{ messages[0].content }}", `writes "<|im_start|>"`},
	} {
		text := &Text{tokens: byteTokenizer(t), chat: chat{template: test.template}}
		_, err := text.EncodeChat("a")
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", name, err, test.want)
		}
	}
}

func byteTokenizer(t *testing.T) *tokenizer.Tokenizer {
	t.Helper()
	tokens, err := tokenizer.Parse([]byte(
		`{"decoder":{"type":"Fuse"},"model":{"vocab":{"a":0,"<unk>":1},"unk_token":"<unk>"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return tokens
}

func mapFS(files map[string]string) fs.FS {
	m := fstest.MapFS{}
	for name, text := range files {
		m[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return m
}
