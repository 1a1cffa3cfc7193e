package main

import (
	"bytes"
	"net/http"
	"time"
)

// Beside the way: the client for browsers in its second form.

const clientExport = "\nexport {"

// clientScript makes a plain script of the module web/client.js. The module has one export, at its end. The script
// puts the same names into the global Byor, and keeps the others to itself.
func clientScript(module []byte) []byte {
	script := bytes.Replace(module, []byte(clientExport), []byte("\nglobalThis.Byor = {"), 1)
	return append(append([]byte("(() => {\n\"use strict\";\n"), script...), "})();\n"...)
}

// serveClientScript serves web/client.js for <script src="client.script.js">.
func serveClientScript(w http.ResponseWriter, r *http.Request) {
	module, err := webFiles.ReadFile("web/client.js")
	if err != nil {
		panic(err) // the folder is compiled in
	}
	http.ServeContent(w, r, "client.script.js", time.Time{}, bytes.NewReader(clientScript(module)))
}
