package pubsub_test

import (
	"errors"
	"fmt"

	"byor/pkg/pubsub"
)

// A subscriber with a goroutine of its own has a queue between itself and the hub.
func Example() {
	hub := pubsub.NewHub()
	queue := pubsub.NewQueue(1<<20, 1000)
	hub.Subscribe(queue, []byte("news"))
	hub.PSubscribe(queue, []byte("n*"))

	fmt.Println("deliveries:", hub.Publish([]byte("news"), []byte("hello")))
	messages, _ := queue.Receive() // waits; here there are two already
	for _, m := range messages {
		fmt.Printf("%q %s %s\n", m.Pattern, m.Channel, m.Payload)
	}
	hub.UnsubscribeAll(queue)
	fmt.Println("deliveries:", hub.Publish([]byte("news"), []byte("anybody?")))
	// Output:
	// deliveries: 2
	// "" news hello
	// "n*" news hello
	// deliveries: 0
}

// One that does not keep up loses its connection, and not some of its messages.
func ExampleQueue() {
	hub := pubsub.NewHub()
	queue := pubsub.NewQueue(1<<20, 2)
	queue.OnOverflow = func() { fmt.Println("close the connection") }
	hub.Subscribe(queue, []byte("ticks"))
	for range 5 {
		hub.Publish([]byte("ticks"), []byte("tick"))
	}
	messages, err := queue.Receive()
	fmt.Println(len(messages), errors.Is(err, pubsub.ErrOverflow))
	// Output:
	// close the connection
	// 0 true
}

func ExampleMatch() {
	fmt.Println(pubsub.Match("news.*", "news.it"), pubsub.Match("h[ae]llo", "hullo"), pubsub.Match(`\*`, "*"))
	// Output: true false true
}
