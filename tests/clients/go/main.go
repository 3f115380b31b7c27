// The Go clients as one program, with the protocol of ../js/driver.mjs: Ollama's own api package, which its command
// is made of, and go-openai.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	ollama "github.com/ollama/ollama/api"
	openai "github.com/sashabaranov/go-openai"
	"golang.org/x/sys/unix"
)

type order struct {
	Id         int               `json:"id"`
	Abort      *int              `json:"abort"`
	Use        string            `json:"use"`
	Base       string            `json:"base"`
	Model      string            `json:"model"`
	Headers    map[string]string `json:"headers"`
	AbortAfter int               `json:"abort_after"`
}

type verdict struct {
	Id        int      `json:"id"`
	Text      string   `json:"text"`
	Pieces    int      `json:"pieces"`
	Error     *string  `json:"error"`
	Status    *int     `json:"status"`
	AbortedAt *float64 `json:"aborted_at"`
	Ms        float64  `json:"ms"`
}

type call struct {
	order
	context.Context
	cancel context.CancelFunc
	mutex  sync.Mutex
	said   verdict
}

// Milliseconds of CLOCK_MONOTONIC, which the simulator stamps with too.
func now() float64 {
	var t unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &t)
	return float64(t.Nano()) / 1e6
}

func (c *call) leave() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.said.AbortedAt == nil {
		at := now()
		c.said.AbortedAt = &at
	}
	c.cancel()
}

func (c *call) piece(text string) {
	c.said.Text += text
	c.said.Pieces++
	if c.said.Pieces == c.AbortAfter {
		c.leave()
	}
}

// Headers of the user's own: neither package has a way for them but the transport.
type asking struct{ headers map[string]string }

func (a asking) RoundTrip(request *http.Request) (*http.Response, error) {
	for name, value := range a.headers {
		request.Header.Set(name, value)
	}
	return http.DefaultTransport.RoundTrip(request)
}

func (c *call) http() *http.Client { return &http.Client{Transport: asking{c.Headers}} }

func (c *call) ollama() (*ollama.Client, error) {
	if c.Base == "" {
		return ollama.ClientFromEnvironment()
	}
	base, err := url.Parse(c.Base)
	return ollama.NewClient(base, c.http()), err
}

func (c *call) openai() *openai.Client {
	config := openai.DefaultConfig("none")
	config.BaseURL = c.Base + "/v1"
	config.HTTPClient = c.http()
	return openai.NewClientWithConfig(config)
}

func (c *call) ollamaChat(stream *bool) error {
	client, err := c.ollama()
	if err != nil {
		return err
	}
	request := &ollama.ChatRequest{Model: c.Model, Messages: []ollama.Message{{Role: "user", Content: "Hello"}}, Stream: stream}
	return client.Chat(c, request, func(part ollama.ChatResponse) error {
		c.piece(part.Message.Content)
		return nil
	})
}

var whole = false

var uses = map[string]func(*call) error{
	"ollama-go chat":       func(c *call) error { return c.ollamaChat(nil) },
	"ollama-go chat whole": func(c *call) error { return c.ollamaChat(&whole) },
	"ollama-go generate": func(c *call) error {
		client, err := c.ollama()
		if err != nil {
			return err
		}
		return client.Generate(c, &ollama.GenerateRequest{Model: c.Model, Prompt: "Hello"}, func(part ollama.GenerateResponse) error {
			c.piece(part.Response)
			return nil
		})
	},
	"ollama-go embed": func(c *call) error {
		client, err := c.ollama()
		if err != nil {
			return err
		}
		answer, err := client.Embed(c, &ollama.EmbedRequest{Model: c.Model, Input: "Hello"})
		if err != nil {
			return err
		}
		if len(answer.Embeddings) == 0 {
			return errors.New("no embedding, and no error")
		}
		shown := []string{}
		for _, x := range answer.Embeddings[0][:4] {
			shown = append(shown, fmt.Sprintf("%.4f", x))
		}
		c.piece(strings.Join(shown, " "))
		return nil
	},
	"go-openai chat": func(c *call) error {
		request := openai.ChatCompletionRequest{Model: c.Model, Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "Hello"}}}
		stream, err := c.openai().CreateChatCompletionStream(c, request)
		if err != nil {
			return err
		}
		defer stream.Close()
		for {
			chunk, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			c.piece(chunk.Choices[0].Delta.Content)
		}
	},
	"go-openai chat whole": func(c *call) error {
		request := openai.ChatCompletionRequest{Model: c.Model, Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "Hello"}}}
		answer, err := c.openai().CreateChatCompletion(c, request)
		if err == nil && len(answer.Choices) == 0 {
			return errors.New("no choices, and no error")
		}
		if err == nil {
			c.piece(answer.Choices[0].Message.Content)
		}
		return err
	},
}

func status(err error) *int {
	var native ollama.StatusError
	if errors.As(err, &native) {
		return &native.StatusCode
	}
	var api *openai.APIError
	if errors.As(err, &api) {
		return &api.HTTPStatusCode
	}
	return nil
}

func main() {
	var printing sync.Mutex
	running := map[int]*call{}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			panic(err)
		}
		if o.Abort != nil {
			running[*o.Abort].leave()
			continue
		}
		c := &call{order: o, said: verdict{Id: o.Id}}
		c.Context, c.cancel = context.WithCancel(context.Background())
		running[o.Id] = c
		go func() {
			start := time.Now()
			if err := uses[c.Use](c); err != nil {
				text := err.Error()
				c.said.Error, c.said.Status = &text, status(err)
			}
			c.said.Ms = float64(time.Since(start).Microseconds()) / 1000
			c.mutex.Lock()
			line, _ := json.Marshal(c.said)
			c.mutex.Unlock()
			printing.Lock()
			fmt.Println(string(line))
			printing.Unlock()
		}()
	}
}
