// Package decode has requests that cannot be decoded refused as other bad input is: with INVALID_ARGUMENT and the name of the field.
//
// In come gRPC's codec and services, out go the same that refuse so. What always holds: what can be decoded is decoded by gRPC's
// own codec and looked at by nobody else; a request that cannot be reaches no service; nothing of its values is in the answer but
// the keys of its maps.
package decode

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// maxDepth bounds how deep a field may lie that is named, maxKey the length of a key that is shown.
const (
	maxDepth = 32
	maxKey   = 128
)

// codec is gRPC's own, that notes which field is at fault.
type codec struct{ encoding.CodecV2 }

// Codec returns the codec for servers; see grpc.ForceServerCodecV2.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2(proto.Name)} }

// Unmarshal decodes a message. Only what could not be decoded is gone through.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	if err := c.CodecV2.Unmarshal(data, r.into); err != nil {
		r.problem = errors.New("request: is malformed")
		if field := illegible(data.Materialize(), r.into.ProtoReflect().Descriptor(), "", maxDepth); field != "" {
			r.problem = fmt.Errorf("%s: is not UTF-8", field)
		}
	}
	return nil
}

// illegible returns the first string of a message that is not UTF-8, as validation names fields; "" where there is none.
func illegible(raw []byte, d protoreflect.MessageDescriptor, at string, depth int) string {
	counts := map[protowire.Number]int{}
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return ""
		}
		size := protowire.ConsumeFieldValue(number, kind, raw[n:])
		if size < 0 {
			return ""
		}
		value := raw[n : n+size]
		raw = raw[n+size:]
		f := d.Fields().ByNumber(number)
		if f == nil || kind != protowire.BytesType {
			continue
		}
		name := at + string(f.Name())
		if f.IsList() {
			name = fmt.Sprintf("%s[%d]", name, counts[number])
			counts[number]++
		}
		content, _ := protowire.ConsumeBytes(value)
		if found := illegibleField(content, f, name, depth-1); found != "" {
			return found
		}
	}
	return ""
}

func illegibleField(content []byte, f protoreflect.FieldDescriptor, name string, depth int) string {
	switch {
	case f.IsMap():
		return illegibleEntry(content, f, name, depth)
	case f.Kind() == protoreflect.StringKind && !utf8.Valid(content):
		return name
	case f.Kind() == protoreflect.MessageKind && depth > 0:
		return illegible(content, f.Message(), name+".", depth)
	}
	return ""
}

func illegibleEntry(content []byte, f protoreflect.FieldDescriptor, name string, depth int) string {
	found := illegible(content, f.Message(), "", depth)
	if found == "" {
		return ""
	}
	if key := string(f.MapKey().Name()); found == key {
		return name + " " + key
	}
	if key := keyOf(content, f.MapKey()); key != "" && len(key) <= maxKey && utf8.ValidString(key) {
		name = fmt.Sprintf("%s[%q]", name, key)
	}
	return name + strings.TrimPrefix(found, string(f.MapValue().Name()))
}

// keyOf returns the key of a map's entry, where it is a string.
func keyOf(entry []byte, f protoreflect.FieldDescriptor) (key string) {
	for len(entry) > 0 {
		number, kind, n := protowire.ConsumeTag(entry)
		size := protowire.ConsumeFieldValue(number, kind, entry[max(n, 0):])
		if n < 0 || size < 0 {
			return ""
		}
		if number == f.Number() && kind == protowire.BytesType && f.Kind() == protoreflect.StringKind {
			content, _ := protowire.ConsumeBytes(entry[n : n+size])
			key = string(content)
		}
		entry = entry[n+size:]
	}
	return key
}
