// An OpenID Connect provider of npm's oidc-provider. Its arguments are the directory of
// its modules and its configuration in JSON: issuer, whose port it listens at, what the
// library is configured with, and accounts, the claims of each by its name. Whoever types
// a name is that account.
'use strict'
const path = require('node:path')
const { pathToFileURL } = require('node:url')

const [modules, text] = process.argv.slice(2)
const { issuer, configuration, accounts } = JSON.parse(text)

async function main () {
  const { Provider } = await import(pathToFileURL(path.join(modules, 'oidc-provider', 'lib', 'index.js')))
  const provider = new Provider(issuer, {
    ...configuration,
    findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts[id] }) }),
    // Its own pages would ask who may have what: these may.
    async loadExistingGrant (ctx) {
      const grant = new ctx.oidc.provider.Grant({ clientId: ctx.oidc.client.clientId, accountId: ctx.oidc.session.accountId })
      grant.addOIDCScope('openid profile groups')
      await grant.save()
      return grant
    },
    renderError (ctx, out) {
      ctx.body = JSON.stringify(out)
    },
    // It would speak to no client on this machine, and wait for 2.5 s at most.
    fetch: (url, { dispatcher, signal, ...options }) => fetch(url, options)
  })
  provider.on('backchannel.error', (_, error) => console.error(error))
  provider.on('server_error', (_, error) => console.error(error))
  provider.listen(new URL(issuer).port, '127.0.0.1', () => console.log('ready'))
}

main()
