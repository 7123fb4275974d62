// PeerTransport: exactly one encrypted link between each two replicas. Of two replicas the one with the lower id dials;
// the other accepts, and a newer link of the same key replaces an older one (only the owner of that key can open it,
// and it does so only when its old link is gone). Lost links are dialled again with exponential backoff and jitter.
// Unknown keys are refused before any signature work. Everything runs on the event loop; callbacks come from the loop.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "config/cluster.h"
#include "config/result.h"
#include "crypto/signature.h"
#include "replica/link.h"

namespace boost::asio {
class io_context;
}

namespace loyal::replica {

struct PeerEvents {
    // Frames of an authenticated peer, in order, over the link with this id.
    std::function<void(consensus::ReplicaId from, Link& link, std::vector<Bytes>&& frames)> frames;
    std::function<void(consensus::ReplicaId peer, bool up, const std::string& detail)> state;
};

struct PeerTransportOptions {
    std::chrono::milliseconds backoff_min{50};
    std::chrono::milliseconds backoff_max{1'000};
    std::chrono::milliseconds connect_timeout{3'000};
    std::chrono::milliseconds handshake_timeout{5'000};
    std::size_t outbound_bytes_max = 0;  // 0: limits
};

class PeerTransport {
 public:
    // `cluster`, `signer` and `verifier` outlive it.
    PeerTransport(boost::asio::io_context& loop, const config::Cluster& cluster, consensus::ReplicaId self,
                  const crypto::Signer& signer, const crypto::SignatureVerifier& verifier, PeerEvents events,
                  PeerTransportOptions options = {});
    ~PeerTransport();

    // Errc::conflict: the port is taken or the address is not of this machine.
    [[nodiscard]] Result<void> listen();
    void dial_all();
    // Queued, bounded, dropped when there is no link: the protocol sends again.
    void send(consensus::ReplicaId to, SharedBytes frame);
    void flush();
    // A message of `from` that did not decode or verify: after three the link is closed and refused for a while.
    void strike(consensus::ReplicaId from, const std::string& why);
    void pause_all(bool paused);
    void stop();

    [[nodiscard]] Link* link_of(consensus::ReplicaId peer) const;
    [[nodiscard]] std::size_t links_up() const;
    [[nodiscard]] std::size_t outbound_bytes() const;
    [[nodiscard]] const LinkStats& stats() const;
    [[nodiscard]] std::uint64_t refused() const;   // connections that never became links
    [[nodiscard]] std::uint64_t expelled() const;  // links closed for what they sent
    [[nodiscard]] std::uint16_t port() const;      // that it listens on

 private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace loyal::replica
