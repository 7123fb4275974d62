// ClientGateway: the links of clients, on a listening socket of their own. Only keys that the replicated state knows
// get in, and as long as there is none those of the cluster file; a client that does not read its replies, or sends
// three bad messages, is disconnected; the latter is kept out for a while. Everything runs on the event loop; callbacks
// come from the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/cluster.h"
#include "config/result.h"
#include "crypto/signature.h"
#include "kvstore/rights.h"
#include "replica/link.h"

namespace boost::asio {
class io_context;
}

namespace loyal::replica {

struct ClientEvents {
    std::function<void(Link& link, const consensus::ClientId& client)> up;
    std::function<void(Link& link, const consensus::ClientId& client, std::vector<Bytes>&& frames)> frames;
    std::function<void(std::uint64_t link)> down;
};

struct ClientGatewayOptions {
    std::size_t connections_max = 0;     // 0: limits
    std::size_t outbound_bytes_max = 0;  // 0: limits
    std::chrono::milliseconds handshake_timeout{5'000};
};

class ClientGateway {
 public:
    // `cluster`, `signer` and `verifier` outlive it.
    ClientGateway(boost::asio::io_context& loop, const config::Cluster& cluster, consensus::ReplicaId self,
                  const crypto::Signer& signer, const crypto::SignatureVerifier& verifier, ClientEvents events,
                  ClientGatewayOptions options = {});
    ~ClientGateway();

    [[nodiscard]] Result<void> listen();
    void send(std::uint64_t link, SharedBytes frame);
    // Writes what send() queued.
    void flush();
    void strike(std::uint64_t link, const std::string& why);
    void pause_all(bool paused);
    void stop();

    [[nodiscard]] Link* find(std::uint64_t link) const;
    // Who is known from now on; links of others are closed.
    void set_clients(std::shared_ptr<const kvstore::ClientDirectory> clients);
    [[nodiscard]] const kvstore::ClientDirectory& clients() const;
    [[nodiscard]] bool is_operator(const consensus::ClientId& client) const;
    [[nodiscard]] std::size_t connections() const;
    [[nodiscard]] const LinkStats& stats() const;
    [[nodiscard]] std::uint64_t refused() const;
    [[nodiscard]] std::uint64_t expelled() const;
    [[nodiscard]] std::uint16_t port() const;

 private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace loyal::replica
