package opcua

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gopcua/opcua/ua"
)

// Node is a node's id as a configuration has it (OPC 10000-6, 5.3.1.10): its namespace by
// URI, or by an index, which may be another one after the server's restart. Two that are
// equal are the same node.
type Node struct {
	uri   string // "": index says it
	index uint16
	kind  byte // i, s, g or b; 0 of the zero Node, which is none
	value string
}

// longestNode bounds a node's id as text. OPC 10000-3, 8.2.4 bounds identifiers that are
// texts by 4,096 characters.
const longestNode = 4096

const nodeExpected = "expected one like nsu=urn:example;s=T1.TopOil or ns=2;i=1001"

// ParseNode takes [nsu=URI;|ns=INDEX;]{i=NUMBER|s=TEXT|g=GUID|b=BASE64}. In a URI, ; and %
// are written as %3B and %25. Without a namespace it is OPC UA's own, 0.
func ParseNode(text string) (Node, error) {
	if len(text) > longestNode || !utf8.ValidString(text) {
		return Node{}, fmt.Errorf("%.40q…, expected UTF-8 of at most %d bytes", text, longestNode)
	}
	fail := func(format string, args ...any) (Node, error) {
		return Node{}, fmt.Errorf("%q, "+format, append([]any{text}, args...)...)
	}
	var n Node
	rest := text
	switch {
	case strings.HasPrefix(rest, "nsu="):
		uri, after, closed := strings.Cut(rest[len("nsu="):], ";")
		plain, err := unescape(uri)
		switch {
		case !closed:
			return fail("no ; ends the namespace's URI, %s", nodeExpected)
		case uri == "":
			return fail("the namespace's URI is empty, %s", nodeExpected)
		case err != nil:
			return fail("%s in the namespace's URI, where ; and %% are written as %%3B and %%25", err)
		}
		n.uri, rest = plain, after
		if n.uri == coreURI {
			n.uri = ""
		}
	case strings.HasPrefix(rest, "ns="):
		number, after, closed := strings.Cut(rest[len("ns="):], ";")
		index, err := decimal(number, 16)
		if err != nil || !closed {
			return fail("the namespace's index, expected 0 to 65535 and a ;, as in ns=2;i=1001")
		}
		n.index, rest = uint16(index), after
	case strings.HasPrefix(rest, "svr="):
		return fail("a node of another server, %s", nodeExpected)
	}
	kind, value, is := strings.Cut(rest, "=")
	if !is || len(kind) != 1 || !strings.Contains("isgb", kind) {
		return fail("%s", nodeExpected)
	}
	n.kind, n.value = kind[0], value
	switch n.kind {
	case 'i':
		number, err := decimal(value, 32)
		if err != nil {
			return fail("expected a number from 0 to 4294967295 after i=")
		}
		n.value = strconv.FormatUint(number, 10)
	case 's':
		if value == "" {
			return fail("the text after s= is empty, %s", nodeExpected)
		}
	case 'g':
		if !isGUID(value) {
			return fail("expected a GUID after g=, like 72962B91-FA75-4AE6-8D28-B404DC7DAF63")
		}
		n.value = strings.ToUpper(value)
	case 'b':
		bytes, err := base64.StdEncoding.Strict().DecodeString(value)
		if err != nil || len(bytes) == 0 || base64.StdEncoding.EncodeToString(bytes) != value {
			return fail("expected bytes in base64 after b=, like M/RbKBsRVkePCePcx24oRA==")
		}
	}
	return n, nil
}

// coreURI is the namespace of OPC UA itself, whose index is always 0.
const coreURI = "http://opcfoundation.org/UA/"

// decimal is a number without a sign, leading zeros and underscores.
func decimal(text string, bits int) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, bits)
	if err == nil && strconv.FormatUint(n, 10) != text {
		err = errors.New("not the shortest form")
	}
	return n, err
}

func isGUID(text string) bool {
	parts := strings.Split(text, "-")
	if len(parts) != 5 {
		return false
	}
	for i, length := range []int{8, 4, 4, 4, 12} {
		if _, err := hex.DecodeString(parts[i]); err != nil || len(parts[i]) != length {
			return false
		}
	}
	return true
}

var uriEscapes = strings.NewReplacer("%", "%25", ";", "%3B")

func unescape(uri string) (string, error) {
	for i := 0; i < len(uri); i++ {
		if uri[i] == '%' && !strings.HasPrefix(uri[i:], "%25") && !strings.HasPrefix(strings.ToUpper(uri[i:]), "%3B") {
			return "", errors.New("a % alone")
		}
	}
	return strings.NewReplacer("%25", "%", "%3B", ";", "%3b", ";").Replace(uri), nil
}

// String is the shortest text that ParseNode takes for the node.
func (n Node) String() string {
	switch {
	case n.kind == 0:
		return ""
	case n.uri != "":
		return "nsu=" + uriEscapes.Replace(n.uri) + ";" + string(n.kind) + "=" + n.value
	case n.index != 0:
		return fmt.Sprintf("ns=%d;%c=%s", n.index, n.kind, n.value)
	}
	return string(n.kind) + "=" + n.value
}

// errNoNamespace is that the server hasn't got a node's namespace.
var errNoNamespace = errors.New("the server has no such namespace")

// on is the node's id at a server that has the namespaces, by index.
func (n Node) on(namespaces []string) (*ua.NodeID, error) {
	index := n.index
	if n.uri != "" {
		i := slices.Index(namespaces, n.uri)
		if i < 0 || i > 0xFFFF {
			return nil, fmt.Errorf("%w: %s", errNoNamespace, n.uri)
		}
		index = uint16(i)
	}
	switch n.kind {
	case 'i':
		number, err := strconv.ParseUint(n.value, 10, 32)
		return ua.NewNumericNodeID(index, uint32(number)), err
	case 's':
		return ua.NewStringNodeID(index, n.value), nil
	case 'g':
		return ua.NewGUIDNodeID(index, n.value), nil
	case 'b':
		bytes, err := base64.StdEncoding.DecodeString(n.value)
		return ua.NewByteStringNodeID(index, bytes), err
	}
	return nil, errors.New("no node")
}

// nodeOf is a node of a server that has the namespaces, by URI if it is known.
func nodeOf(id *ua.NodeID, namespaces []string) Node {
	n := Node{index: id.Namespace()}
	if i := int(n.index); i > 0 && i < len(namespaces) && namespaces[i] != "" {
		n.uri, n.index = namespaces[i], 0
	}
	switch id.Type() {
	case ua.NodeIDTypeString:
		n.kind, n.value = 's', id.StringID()
	case ua.NodeIDTypeGUID:
		n.kind, n.value = 'g', strings.ToUpper(id.StringID())
	case ua.NodeIDTypeByteString:
		n.kind, n.value = 'b', id.StringID()
	default:
		n.kind, n.value = 'i', strconv.FormatUint(uint64(id.IntID()), 10)
	}
	return n
}
