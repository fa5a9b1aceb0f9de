// Who the page is: `?user=ann`, as a real application would write it into its pages. For development nodes, which believe it.
const user = new URLSearchParams(location.search).get('user') ?? sessionStorage.getItem('example.user');
if (user) {
  sessionStorage.setItem('example.user', user);
  write();
  // Turbo takes out of the head what the next page has not.
  new MutationObserver(write).observe(document.head, { childList: true });
}

function write() {
  for (const [name, content] of Object.entries({ 'form-lock-user': user, 'form-lock-name': user[0].toUpperCase() + user.slice(1) })) {
    if (!document.head.querySelector(`meta[name="${name}"]`)) document.head.append(Object.assign(document.createElement('meta'), { name, content }));
  }
}
