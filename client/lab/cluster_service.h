// ClusterService: the workload's questions as operations of real clients. Callers share the clients in turn.
#pragma once

#include <memory>
#include <vector>

#include "client/client.h"
#include "client/lab/load.h"

namespace loyal::lab {

class ClusterService final : public Service {
 public:
    explicit ClusterService(std::vector<std::unique_ptr<client::Client>> clients) : clients_(std::move(clients)) {}

    void get(std::size_t caller, const std::string& key, Done done) override;
    void put(std::size_t caller, const std::string& key, const std::string& value, Done done) override;
    void del(std::size_t caller, const std::string& key, Done done) override;
    void cas(std::size_t caller, const std::string& key, const std::optional<std::string>& expect,
             const std::string& value, Done done) override;

    [[nodiscard]] client::Client& client(std::size_t caller) { return *clients_[caller % clients_.size()]; }
    // What is under way ends now, as unknown or as not applied.
    void close();

 private:
    std::vector<std::unique_ptr<client::Client>> clients_;
};

}  // namespace loyal::lab
