package generate

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/nikolalohinski/gonja/v2"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// chat is what a checkpoint says of conversations.
type chat struct {
	template string // Jinja; "": it is no chat model
	tokens   map[string]string
}

// openChat reads chat_template.jinja and tokenizer_config.json, where they are.
func openChat(fsys fs.FS) (c chat, err error) {
	const configName, templateName = "tokenizer_config.json", "chat_template.jinja"
	c.tokens = map[string]string{}
	source, err := fs.ReadFile(fsys, configName)
	if err == nil {
		err = c.readConfig(source)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("generate: %s: %w", configName, err)
	}
	source, err = fs.ReadFile(fsys, templateName)
	if err == nil {
		c.template = string(source)
	} else if !errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("generate: %w", err)
	}
	return c, nil
}

func (c *chat) readConfig(source []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(source, &fields); err != nil {
		return err
	}
	for name, raw := range fields {
		if strings.HasSuffix(name, "_token") {
			if text := tokenText(raw); text != "" {
				c.tokens[name] = text
			}
		}
	}
	c.template = templateText(fields["chat_template"])
	return nil
}

// tokenText reads a token that is spelled as itself or as an object with its content.
func tokenText(raw json.RawMessage) string {
	var text string
	var object struct{ Content string }
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if json.Unmarshal(raw, &object) == nil {
		return object.Content
	}
	return ""
}

// templateText reads a template, or of a list of them the one named default.
func templateText(raw json.RawMessage) string {
	var text string
	var list []struct{ Name, Template string }
	if json.Unmarshal(raw, &text) == nil {
		return text
	}
	if json.Unmarshal(raw, &list) == nil {
		for _, t := range list {
			if t.Name == "default" {
				return t.Template
			}
		}
	}
	return ""
}

// EncodeChat turns a user's message into ids by the checkpoint's chat template, up to
// where the answer begins.
func (t *Text) EncodeChat(message string) ([]int32, error) {
	if t.chat.template == "" {
		return nil, errors.New("generate: the checkpoint has no chat template " +
			"(chat_template.jinja, or chat_template in tokenizer_config.json)")
	}
	text, err := t.chat.render(message)
	if err != nil {
		return nil, fmt.Errorf("generate: the checkpoint's chat template is not supported: %w", err)
	}
	if name := t.UnknownSpecial(text); name != "" {
		return nil, fmt.Errorf("generate: the chat template writes %q, which is no token of "+
			"this tokenizer", name)
	}
	return t.tokens.Encode(text, false)
}

// render fills the template in as the checkpoint's authors do: blocks leave no lines.
// It reads no other file, whatever the template says.
func (c *chat) render(message string) (string, error) {
	const name = "chat_template"
	loader, err := loaders.NewMemoryLoader(map[string]string{"/" + name: c.template})
	if err != nil {
		return "", err
	}
	rules := config.New()
	rules.TrimBlocks, rules.LeftStripBlocks = true, true
	template, err := exec.NewTemplate("/"+name, rules, loader, gonja.DefaultEnvironment)
	if err != nil {
		return "", err
	}
	values := map[string]any{
		"messages":              []map[string]any{{"role": "user", "content": message}},
		"add_generation_prompt": true,
		"raise_exception":       func(text string) (string, error) { return "", errors.New(text) },
	}
	for token, text := range c.tokens {
		values[token] = text
	}
	return template.ExecuteToString(exec.NewContext(values))
}
