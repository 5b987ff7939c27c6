package access

import (
	"context"
	"slices"
	"strings"
	"unicode"
)

// NeedsReason reports whether what needs a right needs to be told why.
func (b *Book) NeedsReason(r Right) bool { return b != nil && slices.Contains(b.reasoned, r) }

// DemandReasons makes calls by rights that need a reason, as the access file says at the time, go on only with one. To be called
// before the Control is used.
func (c *Control) DemandReasons(book func() *Book) { c.book = book }

// Demands reports whether calls by a right need a reason as things are now.
func (c *Control) Demands(r Right) bool { return c.book != nil && c.book().NeedsReason(r) }

// Reason returns why a visitor makes a request of the page; empty where nobody said so.
func Reason(ctx context.Context) string {
	if c, ok := ctx.Value(callKey{}).(*call); ok {
		return c.reason
	}
	return ""
}

// Blank reports whether a text holds nothing that can be seen.
func Blank(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsGraphic(r) && !unicode.IsSpace(r) })
}

// errReason says that a right was not used because nobody said why.
type errReason struct{ right Right }

func (e errReason) Error() string {
	return "reason: is missing; the right to " + string(e.right) + " is used only with one"
}

// explained is errReason where a right needs a reason and this is none.
func (c *Control) explained(r Right, reason string) error {
	if c.Demands(r) && Blank(reason) {
		return errReason{r}
	}
	return nil
}
