package viewing

// Known is how many viewings a book keeps.
func Known(b *Book) int { return len(b.open) }
