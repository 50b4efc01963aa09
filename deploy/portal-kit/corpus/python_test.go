package corpus_test

import (
	"context"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/latchkey-sso/latchkey/store/storetest"
)

// python is Debian's, for which the packages below are.
const python = "/usr/bin/python3"

func TestExampleInPythonJudgesEveryCaseRight(t *testing.T) {
	if err := exec.Command(python, "-c", "import jwt, cryptography").Run(); err != nil {
		storetest.Missing(t, "python3-jwt", "apt-get install python3-jwt python3-cryptography")
	}
	const example = "../verify.py"
	// The cache of test results knows only of files that this process looks at.
	if _, err := os.Stat(example); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, example, "assertions.json")
	cmd.Env = []string{"PYTHONDONTWRITEBYTECODE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("verify.py: %v\n%s", err, out)
	}
}
