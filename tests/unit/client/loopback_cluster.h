// Replicas on 127.0.0.1, each a real listening socket with real handshakes and frames, that agree among themselves by
// sharing one variable. For tests of the client's transport; consensus is tested elsewhere.
#pragma once

#include <memory>

#include "client/client.h"
#include "crypto/identity.h"

namespace loyal::client::test {

class LoopbackCluster {
 public:
    explicit LoopbackCluster(std::size_t n = 4);
    ~LoopbackCluster();

    // The key that the replicas know, or another one.
    [[nodiscard]] ClientOptions options(bool known_key = true) const;
    void stop(std::size_t replica);   // closes its links and its socket
    void start(std::size_t replica);  // on the same port
    void cut_links(std::size_t replica);
    void set_silent(bool silent);  // takes everything, answers no write or read
    [[nodiscard]] std::size_t executed() const;

 private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace loyal::client::test
