package api

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

	"github.com/labstack/echo/v4"

	"github.com/latchkey-sso/latchkey/broker"
)

// public is what the world learns of a refusal.
type public struct {
	status int
	code   string
	// sentence is for the developer at the other end, in JSON answers.
	sentence string
	// page names the texts of the page that a person sees.
	page string
	// oauthStatus and oauthCode are for POST /exchange (RFC 6749 section 5.2).
	oauthStatus int
	oauthCode   string
	// sameBytes leaves the request id out of the body (it is in a header all
	// the same), so that answers to different causes are equal byte for byte.
	sameBytes bool
}

// refusals has a row for each broker.Reason.
var refusals = map[broker.Reason]public{
	broker.ReasonInvalidRequest: {
		status: http.StatusBadRequest, code: "invalid_request", sentence: "The request is malformed.", page: "incomplete",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_request",
	},
	broker.ReasonAccessDenied: {
		status: http.StatusUnauthorized, code: "access_denied", sentence: "The link was not accepted.", page: "unknown",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_grant", sameBytes: true,
	},
	broker.ReasonSignOnDisabled: {
		status: http.StatusForbidden, code: "sign_on_disabled", sentence: "Sign-on is switched off.", page: "disabled",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_grant",
	},
	broker.ReasonSlowDown: {
		status: http.StatusTooManyRequests, code: "slow_down", sentence: "There were too many requests.", page: "slow_down",
		oauthStatus: http.StatusTooManyRequests, oauthCode: "slow_down",
	},
	broker.ReasonUnavailable: {
		status: http.StatusServiceUnavailable, code: "temporarily_unavailable", sentence: "Not now; please try again.", page: "unavailable",
		oauthStatus: http.StatusServiceUnavailable, oauthCode: "temporarily_unavailable",
	},
	broker.ReasonTokenUnknown: {
		status: http.StatusGone, code: "invalid_grant", sentence: "The one-time token is unknown, expired or used.", page: "unknown",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_grant",
	},
	broker.ReasonTokenExpired: {
		status: http.StatusGone, code: "invalid_grant", sentence: "The one-time token is unknown, expired or used.", page: "expired",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_grant",
	},
	broker.ReasonTokenUsed: {
		status: http.StatusGone, code: "invalid_grant", sentence: "The one-time token is unknown, expired or used.", page: "used",
		oauthStatus: http.StatusBadRequest, oauthCode: "invalid_grant",
	},
	broker.ReasonInvalidClient: {
		status: http.StatusUnauthorized, code: "invalid_client", sentence: "The client id or secret is wrong.", page: "error",
		oauthStatus: http.StatusUnauthorized, oauthCode: "invalid_client",
	},
}

// internalError answers for whatever is not a refusal: nothing of it is told.
var internalError = public{
	status: http.StatusInternalServerError, code: "server_error", sentence: "Something went wrong on our side.", page: "error",
	oauthStatus: http.StatusInternalServerError, oauthCode: "server_error",
}

// protocolErrors are refusals that HTTP knows and the domain does not.
var protocolErrors = map[int]public{
	http.StatusNotFound:         {status: http.StatusNotFound, code: "not_found", sentence: "There is nothing at this address.", page: "not_found"},
	http.StatusMethodNotAllowed: {status: http.StatusMethodNotAllowed, code: "invalid_request", sentence: "The method is not allowed here; see the Allow header.", page: "not_found"},
	http.StatusForbidden:        {status: http.StatusForbidden, code: "invalid_request", sentence: "Requests from other sites are refused.", page: "unavailable"},
}

// describe finds the public side of an error.
func describe(err error) (public, *broker.Error) {
	if refusal, ok := errors.AsType[*broker.Error](err); ok {
		row, known := refusals[refusal.Reason]
		if !known {
			return internalError, refusal
		}
		switch refusal.Field {
		case "":
		case "body", "query":
			row.sentence = fmt.Sprintf("The %s %s.", refusal.Field, refusal.Problem)
		case echo.HeaderContentType, echo.HeaderContentEncoding:
			row.sentence = fmt.Sprintf("The header %s %s.", refusal.Field, refusal.Problem)
		default:
			row.sentence = fmt.Sprintf("The field %s %s.", refusal.Field, refusal.Problem)
		}
		return row, refusal
	}
	if problem, ok := errors.AsType[*echo.HTTPError](err); ok {
		if row, known := protocolErrors[problem.Code]; known {
			return row, &broker.Error{}
		}
	}
	return internalError, &broker.Error{}
}

// errorBody is the JSON of a refusal.
type errorBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
	RequestID   string `json:"request_id,omitempty"`
}

// answerError is echo's HTTPErrorHandler: the one place where an error becomes
// an answer.
func (s *Server) answerError(err error, c echo.Context) {
	c.Set(answeredKey, err)
	if c.Response().Committed {
		return
	}
	row, refusal := describe(err)
	header := c.Response().Header()
	if refusal.RetryAfter > 0 {
		header.Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(refusal.RetryAfter.Seconds()))))
	}
	if c.Request().Method == http.MethodHead {
		_ = c.NoContent(row.status)
		return
	}
	switch wantsOf(c, row.status) {
	case wantsPage:
		s.failurePage(c, err, row, refusal)
		return
	case wantsOAuth:
		if row.oauthCode != "" {
			row.status, row.code = row.oauthStatus, row.oauthCode
		}
		if row.status == http.StatusUnauthorized {
			header.Set(echo.HeaderWWWAuthenticate, `Basic realm="latchkey", charset="UTF-8"`)
		}
	}
	body := errorBody{Error: row.code, Description: row.sentence, RequestID: requestID(c)}
	if row.sameBytes {
		body.RequestID = ""
	}
	_ = c.JSON(row.status, body)
}

// wants is the kind of answer that a route's callers read.
type wants string

const (
	wantsJSON  wants = "json"
	wantsPage  wants = "page"
	wantsOAuth wants = "oauth"
)

// answeredKey keeps the error that was answered for the log: a middleware of
// echo that answers by itself returns none.
const answeredKey = "latchkey.answered"
