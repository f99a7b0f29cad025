// The shop's orders as webhook tools, with Go's own HTTP server and the official Standard Webhooks library.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type call struct {
	Data struct {
		Tool      string `json:"tool"`
		Arguments struct {
			Order int `json:"order"`
		} `json:"arguments"`
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

func main() {
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("SHOP_WHSEC"))
	if err != nil {
		log.Fatal(err)
	}
	http.HandleFunc("POST /tools", func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(body, r.Header)
		}
		var asked call
		if err == nil {
			err = json.Unmarshal(body, &asked)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		tools := map[string]func(int) (int, answer){"find_order": findOrder, "cancel_order": cancelOrder}
		status, content := tools[asked.Data.Tool](asked.Data.Arguments.Order)
		kind := "application/json"
		if status >= 300 {
			kind = "application/problem+json"
		}
		w.Header().Set("content-type", kind)
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(content)
	})
	port := os.Getenv("PORT")
	if port == "" {
		port = "8090"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
