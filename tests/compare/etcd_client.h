// etcd's JSON gateway (api-reference "gRPC gateway" of etcd 3.4) over one connection that is kept.
#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <string_view>

namespace loyal::compare {

class EtcdClient {
 public:
    // Connects. Throws std::runtime_error when nobody listens there.
    explicit EtcdClient(std::uint16_t port);
    ~EtcdClient();
    EtcdClient(const EtcdClient&) = delete;
    EtcdClient& operator=(const EtcdClient&) = delete;

    // The answer to POST /v3/`method`; a refusal is one, too, and has an "error". Throws std::runtime_error when the
    // connection breaks, or nothing comes in time, or what comes is no JSON.
    [[nodiscard]] nlohmann::json call(std::string_view method, const nlohmann::json& request);

 private:
    struct Link;
    std::unique_ptr<Link> link_;
};

}  // namespace loyal::compare
