package hooks

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/api"
)

// refusal is an error that the caller learns of. None of its texts holds a value
// of the request.
type refusal struct {
	status int
	code   string
	// sentence is for whoever installs the script.
	sentence   string
	retryAfter time.Duration
	// err is the private cause, for the log only.
	err error
}

func (r *refusal) Error() string {
	text := r.code + ": " + r.sentence
	if r.err != nil {
		text += ": " + r.err.Error()
	}
	return text
}

func (r *refusal) Unwrap() error { return r.err }

func invalid(member, problem string) *refusal {
	return &refusal{status: http.StatusBadRequest, code: "invalid_request", sentence: member + " " + problem}
}

func unsupported(header, problem string) *refusal {
	return &refusal{status: http.StatusUnsupportedMediaType, code: "invalid_request", sentence: header + " " + problem}
}

func tooLong(part, problem string) *refusal {
	return &refusal{status: http.StatusRequestEntityTooLarge, code: "invalid_request", sentence: part + " " + problem}
}

func denied() *refusal {
	return &refusal{status: http.StatusUnauthorized, code: "access_denied", sentence: "the server is unknown or the secret is not its own"}
}

func slowDown(retryAfter time.Duration) *refusal {
	return &refusal{status: http.StatusTooManyRequests, code: "slow_down", sentence: "there were too many requests", retryAfter: retryAfter}
}

// queueFull asks for a pause in which the queue gets some way: the script asks only
// once, whoever repeats a report by hand learns when.
func queueFull(err error) *refusal {
	return &refusal{
		status: http.StatusTooManyRequests, code: "slow_down", sentence: "too many reports of the server wait already", retryAfter: time.Minute, err: err,
	}
}

func unavailable(err error) *refusal {
	return &refusal{status: http.StatusServiceUnavailable, code: "temporarily_unavailable", sentence: "the request could not be queued", err: err}
}

// describe finds the public side of an error.
func describe(err error) *refusal {
	if r, is := errors.AsType[*refusal](err); is {
		return r
	}
	if problem, is := errors.AsType[*echo.HTTPError](err); is {
		switch problem.Code {
		case http.StatusNotFound:
			return &refusal{status: http.StatusNotFound, code: "not_found", sentence: "there is nothing at this address"}
		case http.StatusMethodNotAllowed:
			return &refusal{status: http.StatusMethodNotAllowed, code: "invalid_request", sentence: "the method must be POST"}
		}
	}
	return &refusal{status: http.StatusInternalServerError, code: "server_error", sentence: "something went wrong on our side"}
}

type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

// answerError is echo's HTTPErrorHandler: the one place where an error becomes
// an answer.
func answerError(err error, c echo.Context) {
	if c.Response().Committed {
		return
	}
	r, header := describe(err), c.Response().Header()
	switch r.status {
	case http.StatusUnauthorized:
		header.Set(echo.HeaderWWWAuthenticate, `Bearer realm="latchkey"`)
	case http.StatusMethodNotAllowed:
		header.Set(echo.HeaderAllow, http.MethodPost)
	}
	if r.retryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(r.retryAfter.Seconds()))))
	}
	if c.Request().Method == http.MethodHead {
		_ = c.NoContent(r.status)
		return
	}
	_ = c.JSON(r.status, errorBody{Error: r.code, Description: r.sentence})
}

func secureHeaders(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		api.SetSecureHeaders(c.Response().Header())
		return next(c)
	}
}
