package whmfake

import (
	"strconv"
	"strings"

	"github.com/latchkey-sso/latchkey/api/cpanelfake"
)

// number reads a position; what is none is 0, as in Perl.
func number(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return n
}

func (s *Server) createLink(c call, _ Variant) (any, error) {
	return nothing{}, s.state.PutLink(c.get("user"), cpanelfake.Link{
		App:                s.texts.shared(c.get("app")),
		Implements:         s.texts.shared(c.get("implements")),
		Label:              s.texts.shared(c.get("label")),
		SubscriberUniqueID: strings.Clone(c.get("subscriber_unique_id")),
		Token:              cpanelfake.NewToken(strings.Clone(c.get("token"))),
		AutologinTokenURL:  strings.Clone(c.get("autologin_token_url")),
		URL:                s.texts.shared(c.get("url")),
		Base64PNGImage:     s.texts.shared(c.get("base64_png_image")),
		GroupID:            s.texts.shared(c.get("group_id")),
		Order:              number(c.get("order")),
		Hide:               c.flag("hide"),
	})
}

func (s *Server) createGroup(c call, _ Variant) (any, error) {
	return nothing{}, s.state.PutGroup(c.get("user"), cpanelfake.Group{
		ID:    s.texts.shared(c.get("group_id")),
		Label: s.texts.shared(c.get("label")),
		Order: number(c.get("order")),
	})
}

func (s *Server) updateToken(c call, v Variant) (any, error) {
	user, app := c.get("user"), c.get("app")
	err := s.state.SetToken(user, app, cpanelfake.NewToken(strings.Clone(c.get("token"))))
	if err == nil || !v.LaxUpdate {
		return nothing{}, err
	}
	if _, unknown := s.state.Account(user); unknown != nil || c.get("token") == "" {
		return nothing{}, err
	}
	return nothing{}, nil
}

func (s *Server) removeLink(c call, _ Variant) (any, error) {
	return nothing{}, s.state.RemoveLink(c.get("user"), c.get("app"))
}

func (s *Server) removeGroup(c call, _ Variant) (any, error) {
	return nothing{}, s.state.RemoveGroup(c.get("user"), c.get("group_id"))
}

func (s *Server) listLinks(c call, v Variant) (any, error) {
	links, err := s.state.Links(c.get("user"))
	if err != nil {
		return nil, err
	}
	records := make([]record, len(links))
	for i, l := range links {
		records[i] = record{"app": l.App}
	}
	return map[string]any{"links": shape(records, "app", v)}, nil
}

func (s *Server) listGroups(c call, v Variant) (any, error) {
	groups, err := s.state.Groups(c.get("user"))
	if err != nil {
		return nil, err
	}
	records := make([]record, len(groups))
	for i, g := range groups {
		records[i] = record{"group": g.ID}
	}
	return map[string]any{"links": shape(records, "group", v)}, nil
}

func (s *Server) linkConfig(c call, v Variant) (any, error) {
	l, err := s.state.Link(c.get("user"), c.get("app"))
	if err != nil {
		return nil, err
	}
	config := map[string]any{"user": c.get("user")}
	for name, value := range l.Fields() {
		config[name] = value
	}
	if v.TypedConfig {
		config["order"], config["hide"] = l.Order, l.Hide
		for _, name := range []string{"url", "autologin_token_url", "base64_png_image", "group_id"} {
			if config[name] == nil {
				config[name] = nil // there, as null
			}
		}
	}
	if v.BareConfig {
		delete(config, "app")
		delete(config, "user")
	}
	return map[string]any{"userconfig": config}, nil
}

// usersLinks tells the keys of the panel's own pages; two of many.
func (s *Server) usersLinks(c call, _ Variant) (any, error) {
	if _, err := s.state.Account(c.get("user")); err != nil {
		return nil, err
	}
	return map[string]any{
		"ContactInfo_Change": "frontend/jupiter/contact/index.html",
		"Cron_Home":          "frontend/jupiter/cron/index.html",
	}, nil
}
