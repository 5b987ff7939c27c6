package cli

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"github.com/spf13/cobra"
)

func (a *app) contexts() *cobra.Command {
	return noun("context", "List, choose and show the coordinators to work with", a.listContexts(), a.useContext(), a.showContext())
}

// contextView is what is shown of a context: everything but the token.
type contextView struct {
	Name        string   `json:"name"`
	Current     bool     `json:"current"`
	Address     string   `json:"address"`
	Source      string   `json:"source"` // the client file, or the config
	TokenFrom   string   `json:"token_from"`
	ManifestKey string   `json:"manifest_key"`
	Defaults    defaults `json:"defaults"`
	Problem     string   `json:"problem"` // why it cannot be used
}

func view(t target, c config) contextView {
	v := contextView{Name: t.name, Current: t.name != "" && t.name == c.Current, Source: t.file, ManifestKey: t.profile.ManifestKey, Defaults: t.defaults}
	switch v.TokenFrom = t.profile.TokenFile; {
	case t.file != "":
		v.TokenFrom = t.file
	case t.profile.SignIn:
		v.TokenFrom = "recctl login"
	case v.TokenFrom == "":
		v.TokenFrom = c.path
	}
	if v.Source == "" {
		v.Source = c.path
	}
	client, err := t.client()
	if err != nil {
		v.Problem = err.Error()
	}
	if v.Address = client.Address; v.Address == "" {
		v.Address = t.profile.Address
	}
	return v
}

func (a *app) listContexts() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: "List the contexts of the config file", Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.loadConfig()
			if err != nil {
				return usageError{err}
			}
			views := []contextView{}
			for _, name := range slices.Sorted(maps.Keys(c.Contexts)) {
				t, err := a.named(c, name, "contexts")
				if err != nil {
					return usageError{err}
				}
				views = append(views, view(t, c))
			}
			return a.print(map[string]any{"contexts": views}, func(t *tables) {
				list(t, views, []column[contextView]{
					{"CURRENT", false, func(v contextView) cell { return cell{text: map[bool]string{true: "*"}[v.Current]} }},
					{"NAME", false, func(v contextView) cell { return cell{text: v.Name} }},
					{"ADDRESS", false, func(v contextView) cell { return cell{text: v.Address} }},
					{"SOURCE", true, func(v contextView) cell { return cell{text: v.Source} }},
					{"TOKEN FROM", true, func(v contextView) cell { return cell{text: v.TokenFrom} }},
					{"MANIFEST KEY", true, func(v contextView) cell { return cell{text: v.ManifestKey} }},
					{"PROBLEM", false, func(v contextView) cell { return cell{v.Problem, red} }},
				})
			})
		},
	}
	a.outputFlags(c)
	return c
}

func (a *app) showContext() *cobra.Command {
	c := &cobra.Command{
		Use: "show [NAME]", Short: "Show a context, by default the one that would be used",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usageError{fmt.Errorf("%s takes one NAME at most", c.CommandPath())}
			}
			return nil
		},
		ValidArgsFunction: a.completeContextArgument,
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				a.context = args[0]
			}
			c, err := a.loadConfig()
			if err != nil {
				return usageError{err}
			}
			t, err := a.chooseTarget()
			if err != nil {
				return usageError{err}
			}
			v := view(t, c)
			if err := a.print(v, func(t *tables) {
				t.fields([][]cell{
					plain("name", v.Name), plain("current", map[bool]string{true: "yes", false: "no"}[v.Current]), plain("address", v.Address),
					plain("source", v.Source), plain("token from", v.TokenFrom), plain("manifest key", v.ManifestKey),
					plain("output", v.Defaults.Output), plain("time", v.Defaults.Time), plain("timeout", v.Defaults.Timeout),
				})
			}); err != nil {
				return err
			}
			if v.Problem != "" {
				return usageError{errors.New(v.Problem)}
			}
			return nil
		},
	}
	a.outputFlags(c)
	return c
}

func (a *app) useContext() *cobra.Command {
	return &cobra.Command{
		Use: "use NAME", Short: "Make a context the one that is used where none is named",
		Args:              one("NAME", func(string) error { return nil }),
		ValidArgsFunction: a.completeContextArgument,
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := a.loadConfig()
			if err != nil {
				return usageError{err}
			}
			if _, ok := c.Contexts[args[0]]; !ok {
				return notFoundError{fmt.Errorf("NAME: %s is no context of %s", quote(args[0]), c.path)}
			}
			if err := setCurrent(c.path, args[0]); err != nil {
				return fmt.Errorf("use context %s: %w", args[0], err)
			}
			write(a.Stdout, "%s\n", args[0])
			return nil
		},
	}
}

var currentLine = regexp.MustCompile(`(?m)^("current_context"|current_context)[ \t]*:.*$`)

// setCurrent changes one line of the config and nothing else in it, comments and mode included.
func setCurrent(path, name string) error {
	if resolved, err := filepath.EvalSymlinks(path); err == nil {
		path = resolved
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	line := []byte(fmt.Sprintf("current_context: %q", name))
	changed := currentLine.ReplaceAllLiteral(raw, line)
	if !currentLine.Match(raw) {
		changed = slices.Concat(line, []byte("\n"), raw)
	}
	if c, err := parseConfig(changed); err != nil || c.Current != name {
		return errors.New("its form is not one that can be changed here; set current_context in it by hand")
	}
	if bytes.Equal(raw, changed) {
		return nil
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".config-*") // of mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(changed)
	err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
