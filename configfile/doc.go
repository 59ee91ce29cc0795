// Package configfile reads Busbar's YAML files strictly: every error at once,
// each with its file, line and column, what is wrong and what was expected.
//
// The files are a subset of YAML 1.2: mappings, lists and scalars, in block or
// flow style. Anchors, aliases, tags, merge keys and several documents in one
// file are errors. Numbers are decimal or 0x hex; true and false are the only
// booleans; text that reads as a number or a boolean needs quotes; a key
// without a value counts as absent.
package configfile
