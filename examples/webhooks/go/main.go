// The shop's orders as webhook tools, what it is told of its calls, and what it says before one, with Go's own HTTP
// server and the official Standard Webhooks library.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type callback struct {
	URL   string `json:"url"`
	Token string `json:"token"`
}

type call struct {
	Data struct {
		Tool      string `json:"tool"`
		Arguments struct {
			Order int `json:"order"`
		} `json:"arguments"`
		Callback *callback `json:"callback"`
	} `json:"data"`
}

type event struct {
	Type string `json:"type"`
	Data struct {
		Reason   string  `json:"reason"`
		Duration float64 `json:"duration"`
	} `json:"data"`
}

type request struct {
	Data struct {
		Job struct {
			Metadata string `json:"metadata"`
		} `json:"job"`
	} `json:"data"`
}

type answer map[string]any

var (
	lock   sync.Mutex
	orders = map[int]string{17: "packed", 18: "sent"}
	where  = map[string]string{
		"packed":    "is packed and leaves tomorrow",
		"sent":      "is on its way to you",
		"cancelled": "is cancelled",
	}
)

func findOrder(number int) (int, answer) {
	state, there := orders[number]
	if !there {
		return http.StatusOK, answer{"text": fmt.Sprintf("There is no order %d.", number)}
	}
	action := answer{"type": "set_variables", "variables": answer{"order_state": state}}
	return http.StatusOK, answer{
		"text":   fmt.Sprintf("Your order %d %s.", number, where[state]),
		"agentd": answer{"actions": []answer{action}},
	}
}

func cancelOrder(number int) (int, answer) {
	if orders[number] != "packed" {
		return http.StatusUnprocessableEntity, answer{"detail": "This order cannot be cancelled any more."}
	}
	orders[number] = "cancelled" // asked twice with one idempotency-key it would still be cancelled once
	return http.StatusOK, answer{"text": fmt.Sprintf("Order %d is cancelled.", number)}
}

// The bank takes its time: the result is brought later, where the daemon offers that (http.public_url).
func refundOrder(number int, later *callback) (int, answer) {
	if later == nil {
		return http.StatusOK, answer{"text": "A refund takes a day. You will get an e-mail."}
	}
	go askTheBank(number, *later)
	pending := answer{"say": "I am asking our bank, and will tell you.", "timeout": "5m"}
	return http.StatusAccepted, answer{"agentd": answer{"pending": pending}}
}

func askTheBank(number int, later callback) {
	seconds, err := strconv.ParseFloat(os.Getenv("BANK_S"), 64)
	if err != nil {
		seconds = 10
	}
	time.Sleep(time.Duration(seconds * float64(time.Second)))
	body, _ := json.Marshal(answer{"text": fmt.Sprintf("The refund of order %d is on its way.", number)})
	for range 10 { // 503: the conversation is moving to another process
		request, err := http.NewRequest(http.MethodPost, later.URL, bytes.NewReader(body))
		if err != nil {
			log.Print(err)
			return
		}
		request.Header.Set("authorization", "Bearer "+later.Token)
		request.Header.Set("content-type", "application/json")
		reply, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Print(err)
			return
		}
		reply.Body.Close()
		if reply.StatusCode != http.StatusServiceUnavailable {
			return
		}
		time.Sleep(time.Second)
	}
}

var (
	customers = map[string]string{"+15550100": "Zoë"}
	blocked   = map[string]bool{"+15550199": true}
	seen      = map[string]bool{}
)

func told(id string, happened event) (int, answer) {
	if !seen[id] { // an event may come twice, and in any order
		if len(seen) > 10_000 {
			seen = map[string]bool{}
		}
		seen[id] = true
		if happened.Type == "session.ended" || happened.Type == "session.failed" {
			log.Printf("a call of %.1f s: %s", happened.Data.Duration, happened.Data.Reason)
		}
	}
	return http.StatusOK, answer{}
}

// Asked before each call, with the dispatch's metadata: answer within two seconds.
func before(asked request) (int, answer) {
	var metadata struct {
		From string `json:"from"`
	}
	_ = json.Unmarshal([]byte(asked.Data.Job.Metadata), &metadata) // none: nobody that we know
	if blocked[metadata.From] {
		return http.StatusOK, answer{"accept": false}
	}
	return http.StatusOK, answer{"variables": answer{"customer": customers[metadata.From]}}
}

// Verifies a request, reads its body into message, and answers what reply makes of it, one at a time.
func serve(webhook *standardwebhooks.Webhook, path string, message func() any, reply func(string, any) (int, answer)) {
	http.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(body, r.Header)
		}
		read := message()
		if err == nil {
			err = json.Unmarshal(body, read)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		status, content := reply(r.Header.Get("webhook-id"), read)
		kind := "application/json"
		if status >= 300 {
			kind = "application/problem+json"
		}
		w.Header().Set("content-type", kind)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(content)
	})
}

func main() {
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("SHOP_WHSEC"))
	if err != nil {
		log.Fatal(err)
	}
	serve(webhook, "/tools", func() any { return &call{} }, func(_ string, read any) (int, answer) {
		tools := map[string]func(int) (int, answer){"find_order": findOrder, "cancel_order": cancelOrder}
		asked := read.(*call)
		if asked.Data.Tool == "refund_order" {
			return refundOrder(asked.Data.Arguments.Order, asked.Data.Callback)
		}
		return tools[asked.Data.Tool](asked.Data.Arguments.Order)
	})
	serve(webhook, "/events", func() any { return &event{} }, func(id string, read any) (int, answer) {
		return told(id, *read.(*event))
	})
	serve(webhook, "/calls", func() any { return &request{} }, func(_ string, read any) (int, answer) {
		return before(*read.(*request))
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8090"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
