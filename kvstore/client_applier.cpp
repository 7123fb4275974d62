// Changes of clients and their rights (rights.h). Who may make them was checked (operation_rights.cpp).
#include "config/limits.h"
#include "consensus/envelope.h"
#include "kvstore/operation_applier.h"

namespace loyal::kvstore {

namespace {

Applied done(Status status) {
    return {status, {}, false};
}

}  // namespace

Result<Applied> OperationApplier::add(const ClientAdd& add) {
    const ClientDirectory& clients = writer_.clients();
    const consensus::ClientId id = consensus::client_id_of(add.key);
    if (clients.find_name(add.name) || clients.find(id) != nullptr) {
        return done(Status::exists);
    }
    if (clients.all().size() >= limits::known_clients_max) {
        return done(Status::exhausted);
    }
    writer_.put_client(id, {add.name, add.key, {}});
    return done(Status::ok);
}

Result<Applied> OperationApplier::remove(const ClientRemove& remove) {
    const auto id = writer_.clients().find_name(remove.name);
    if (!id) {
        return done(Status::no_client);
    }
    if (is_operator(*writer_.clients().find(*id)) && writer_.clients().operators() == 1) {
        return done(Status::last_operator);
    }
    writer_.remove_client(*id);
    return done(Status::ok);
}

Result<Applied> OperationApplier::grant(const RightGrant& grant) {
    const auto id = writer_.clients().find_name(grant.client);
    if (!id) {
        return done(Status::no_client);
    }
    ClientRecord client = *writer_.clients().find(*id);
    add_rights(client, grant.prefix, grant.rights);
    if (client.grants.size() > limits::grants_per_client_max) {
        return done(Status::exhausted);
    }
    writer_.put_client(*id, std::move(client));
    return done(Status::ok);
}

Result<Applied> OperationApplier::revoke(const RightRevoke& revoke) {
    const auto id = writer_.clients().find_name(revoke.client);
    if (!id) {
        return done(Status::no_client);
    }
    ClientRecord client = *writer_.clients().find(*id);
    const bool was_operator = is_operator(client);
    if (!take_rights(client, revoke.prefix, revoke.rights)) {
        return done(Status::no_client);
    }
    if (was_operator && !is_operator(client) && writer_.clients().operators() == 1) {
        return done(Status::last_operator);
    }
    writer_.put_client(*id, std::move(client));
    return done(Status::ok);
}

}  // namespace loyal::kvstore
