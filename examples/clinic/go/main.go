// The clinic's books as webhook tools, what it is told of its calls, and what it says before one, with Go's own HTTP
// server and the official Standard Webhooks library.
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

type booking struct {
	Name  string `json:"name"`
	Phone string `json:"phone"`
	Day   string `json:"day"`
}

type call struct {
	Data struct {
		Tool      string `json:"tool"`
		Arguments struct {
			booking
			Bill int `json:"bill"`
		} `json:"arguments"`
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
	lock         sync.Mutex
	patients     = map[string]string{"+442079461584": "Peter"}
	bills        = map[int]string{42: "is paid", 43: "is open"}
	appointments = map[string]booking{} // by the idempotency-key of the call that made them
	seen         = map[string]bool{}
)

func bookAppointment(asked booking, key string) answer {
	if _, there := appointments[key]; !there { // the same call may come again after a fault: it books once
		appointments[key] = asked
	}
	booked := fmt.Sprintf("%s, %s", asked.Name, asked.Day)
	action := answer{"type": "set_variables", "variables": answer{"booked": booked}}
	return answer{"text": fmt.Sprintf("Booked: %s.", booked), "agentd": answer{"actions": []answer{action}}}
}

func findBill(number int) answer {
	state, there := bills[number]
	if !there {
		return answer{"text": fmt.Sprintf("There is no bill %d.", number)}
	}
	return answer{"text": fmt.Sprintf("Bill %d %s.", number, state)}
}

func tools(asked call, headers http.Header) (answer, error) {
	switch asked.Data.Tool {
	case "book_appointment":
		return bookAppointment(asked.Data.Arguments.booking, headers.Get("idempotency-key")), nil
	case "find_bill":
		return findBill(asked.Data.Arguments.Bill), nil
	}
	return nil, fmt.Errorf("there is no tool %q", asked.Data.Tool)
}

func told(happened event, headers http.Header) (answer, error) {
	if id := headers.Get("webhook-id"); !seen[id] { // an event may come twice, and in any order
		seen[id] = true
		if happened.Type == "session.ended" || happened.Type == "session.failed" {
			log.Printf("a call of %.1f s: %s", happened.Data.Duration, happened.Data.Reason)
		}
	}
	return answer{}, nil
}

// Asked before each call, with the dispatch's metadata: answer within two seconds.
func before(asked request, _ http.Header) (answer, error) {
	var metadata struct {
		From string `json:"from"`
	}
	_ = json.Unmarshal([]byte(asked.Data.Job.Metadata), &metadata) // none: nobody that we know
	return answer{"variables": answer{"patient": patients[metadata.From]}}, nil
}

// Verifies each request, reads its body as a message, and answers what reply makes of it, one at a time.
func serve[Message any](webhook *standardwebhooks.Webhook, path string, reply func(Message, http.Header) (answer, error)) {
	http.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		var message Message
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = webhook.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		lock.Lock()
		defer lock.Unlock()
		var content answer
		if err = json.Unmarshal(body, &message); err == nil {
			content, err = reply(message, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("content-type", "application/json")
		_ = json.NewEncoder(w).Encode(content)
	})
}

func main() {
	webhook, err := standardwebhooks.NewWebhook(os.Getenv("CLINIC_WHSEC"))
	if err != nil {
		log.Fatal(err)
	}
	serve(webhook, "/tools", tools)
	serve(webhook, "/events", told)
	serve(webhook, "/calls", before)
	port := os.Getenv("PORT")
	if port == "" {
		port = "8091"
	}
	log.Fatal(http.ListenAndServe("127.0.0.1:"+port, nil))
}
