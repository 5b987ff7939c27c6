package seat

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/godbus/dbus/v5"
)

// How logind is reached.
const (
	systemBus      = "run/dbus/system_bus_socket"
	logindName     = "org.freedesktop.login1"
	logindPath     = dbus.ObjectPath("/org/freedesktop/login1")
	logindList     = "org.freedesktop.login1.Manager.ListSessions"
	logindSession  = "org.freedesktop.login1.Session"
	dbusProperties = "org.freedesktop.DBus.Properties.GetAll"
	// logindTimeout bounds one look. Starting logind, which the bus does on demand, is the longest of it.
	logindTimeout = 3 * time.Second
)

// ask returns the graphical sessions that logind tells of. An error means that it cannot be asked: there is no bus, or no logind on it.
func (f Finder) ask(ctx context.Context) ([]Login, error) {
	address := f.Bus
	if address == "" {
		path := f.path(systemBus)
		if _, err := os.Stat(path); err != nil {
			return nil, fmt.Errorf("ask logind: %w", err)
		}
		address = "unix:path=" + dbus.EscapeBusAddressValue(path)
	}
	ctx, cancel := context.WithTimeout(ctx, logindTimeout)
	defer cancel()
	bus, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return nil, fmt.Errorf("connect to bus: %w", err)
	}
	defer func() { _ = bus.Close() }()
	var listed []struct {
		ID   string
		UID  uint32
		User string
		Seat string
		Path dbus.ObjectPath
	}
	if err := bus.Object(logindName, logindPath).CallWithContext(ctx, logindList, 0).Store(&listed); err != nil {
		return nil, fmt.Errorf("list sessions: %w", err)
	}
	var all []Login
	for _, l := range listed[:min(len(listed), maxSessions)] {
		var told map[string]dbus.Variant
		err := bus.Object(logindName, l.Path).CallWithContext(ctx, dbusProperties, 0, logindSession).Store(&told)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("ask logind: %w", ctx.Err())
		}
		if err != nil {
			continue // it has ended meanwhile
		}
		s := session{
			uid: strconv.FormatUint(uint64(l.UID), 10), user: l.User, id: l.ID, seat: l.Seat, kind: property[string](told, "Type"),
			class: property[string](told, "Class"), state: property[string](told, "State"), display: property[string](told, "Display"),
			leader: strconv.FormatUint(uint64(property[uint32](told, "Leader")), 10), active: property[bool](told, "Active"),
		}
		if l, ok := s.login(); ok {
			all = append(all, l)
		}
	}
	return all, nil
}

// property returns a property, the zero value where there is none of that type.
func property[T any](told map[string]dbus.Variant, name string) T {
	v, _ := told[name].Value().(T)
	return v
}
