// Package docs holds the tests of what the project writes: that links lead somewhere, that snippets
// compile, that every message has its entry in the handbook, that no line is too long to read.
package docs
