(function () {
  var form = document.querySelector("form[data-submit]");
  function press() { form.submit(); }
  // A page that is only being prepared is not looked at by anybody yet.
  if (document.prerendering) {
    document.addEventListener("prerenderingchange", press, { once: true });
  } else {
    press();
  }
})();
