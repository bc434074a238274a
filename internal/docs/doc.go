// Package docs tests the documentation: links lead somewhere, snippets compile, every message has
// an entry in the handbook, no line is too long.
package docs
