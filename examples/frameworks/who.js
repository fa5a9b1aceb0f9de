// Who the page is: `?user=ann`, as a real application would write it into its pages. For development nodes, which believe it.
const user = new URLSearchParams(location.search).get('user') ?? sessionStorage.getItem('example.user');
if (user) {
  sessionStorage.setItem('example.user', user);
  for (const [name, content] of Object.entries({ 'form-lock-user': user, 'form-lock-name': user[0].toUpperCase() + user.slice(1) })) {
    document.head.append(Object.assign(document.createElement('meta'), { name, content }));
  }
}
