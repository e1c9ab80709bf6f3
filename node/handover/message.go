package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// variable names the environment variable of a new process: the names of its
// sockets, which begin at descriptor firstSocket. It has no prefix of a setting.
const variable = "HANDOVER_SOCKETS"

const (
	conversation = 3 // descriptor of the new process's end
	firstSocket  = 4
	// maxMessage bounds one message.
	maxMessage = 128 << 10
	// sendFor bounds the sending of one.
	sendFor = 5 * time.Second
)

type kind string

// What the two say to each other, in this order.
const (
	ready      kind = "ready"      // the new one has prepared what it can
	connection kind = "connection" // comes with an idle connection
	yours      kind = "yours"      // everything is closed here
	serving    kind = "serving"    // the new one accepts
)

// message is one packet.
type message struct {
	Kind  kind            `json:"kind"`
	State json.RawMessage `json:"state,omitempty"`
}

// channel is one end of the conversation, a SEQPACKET socket.
type channel struct{ *net.UnixConn }

// pair returns a channel and the other end of it, for the new process.
func pair() (channel, *os.File, error) {
	fds, err := packetPair()
	if err != nil {
		return channel{}, nil, fmt.Errorf("open a conversation: %w", err)
	}
	mine, theirs := os.NewFile(uintptr(fds[0]), "conversation"), os.NewFile(uintptr(fds[1]), "conversation")
	c, err := asChannel(mine)
	if err != nil {
		return channel{}, nil, errors.Join(err, theirs.Close())
	}
	return c, theirs, nil
}

// asChannel takes the place of a file.
func asChannel(f *os.File) (channel, error) {
	c, err := net.FileConn(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return channel{}, fmt.Errorf("open the conversation: %w", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		return channel{}, errors.Join(errors.New("the conversation is no unix socket"), c.Close())
	}
	return channel{u}, nil
}

func (c channel) send(m message, rights []byte) error {
	data, err := json.Marshal(m)
	if err != nil {
		return fmt.Errorf("say %s: %w", m.Kind, err)
	}
	if len(data) > maxMessage {
		return fmt.Errorf("say %s: %d bytes are too many", m.Kind, len(data))
	}
	if err := c.SetWriteDeadline(time.Now().Add(sendFor)); err != nil {
		return fmt.Errorf("say %s: %w", m.Kind, err)
	}
	if _, _, err := c.WriteMsgUnix(data, rights, nil); err != nil {
		return fmt.Errorf("say %s: %w", m.Kind, err)
	}
	return nil
}

// give sends a connection; the other process has it from then on.
func (c channel) give(conn net.Conn) error {
	sys, ok := conn.(syscall.Conn)
	if !ok {
		return fmt.Errorf("a connection of %T cannot be handed over", conn)
	}
	raw, err := sys.SyscallConn()
	if err != nil {
		return err
	}
	var sent error
	if err := raw.Control(func(fd uintptr) { sent = c.send(message{Kind: connection}, unix.UnixRights(int(fd))) }); err != nil {
		return err
	}
	return sent
}

// receive reads a message until the deadline or the end of ctx, with the connection that
// came with it.
func (c channel) receive(ctx context.Context, until time.Time) (message, net.Conn, error) {
	if err := c.SetReadDeadline(until); err != nil {
		return message{}, nil, err
	}
	// Only now: an end of ctx before would be undone by the deadline.
	stop := context.AfterFunc(ctx, func() { _ = c.SetReadDeadline(past) }) // a closed one is not waited for
	defer stop()
	data, rights := make([]byte, maxMessage), make([]byte, unix.CmsgSpace(4))
	n, more, flags, _, err := c.ReadMsgUnix(data, rights)
	if err != nil {
		return message{}, nil, err
	}
	conn, err := received(rights[:more])
	var m message
	switch {
	case n == 0:
		err = io.EOF
	case err != nil:
	case flags&unix.MSG_TRUNC != 0:
		err = errors.New("a message is too long")
	default:
		err = json.Unmarshal(data[:n], &m)
	}
	if err != nil && conn != nil {
		err = errors.Join(err, conn.Close())
	}
	return m, conn, err
}

// received returns the connection that a control message carries, or nil.
func received(rights []byte) (net.Conn, error) {
	if len(rights) == 0 {
		return nil, nil
	}
	messages, err := unix.ParseSocketControlMessage(rights)
	if err != nil || len(messages) != 1 {
		return nil, fmt.Errorf("a message with %d descriptors: %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return nil, fmt.Errorf("a message with %d descriptors: %w", len(fds), err)
	}
	unix.CloseOnExec(fds[0])
	f := os.NewFile(uintptr(fds[0]), "connection")
	conn, err := net.FileConn(f)
	return conn, errors.Join(err, f.Close())
}
