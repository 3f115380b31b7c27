#include "downstream/accepted_socket.hpp"

#include <boost/asio/ip/address.hpp>

#include <netinet/in.h>
#include <unistd.h>

#include <cstring>

namespace gateway {

namespace asio = boost::asio;

accepted_socket::~accepted_socket()
{
    if (fd_ >= 0)
        ::close(fd_);
}

std::string accepted_socket::address() const
{
    if (from_.ss_family == AF_INET) {
        sockaddr_in v4;
        std::memcpy(&v4, &from_, sizeof v4);
        return asio::ip::address_v4(ntohl(v4.sin_addr.s_addr)).to_string();
    }
    if (from_.ss_family != AF_INET6)
        return {};
    sockaddr_in6 v6;
    std::memcpy(&v6, &from_, sizeof v6);
    asio::ip::address_v6::bytes_type bytes;
    std::memcpy(bytes.data(), &v6.sin6_addr, bytes.size());
    asio::ip::address_v6 address(bytes, v6.sin6_scope_id);
    if (address.is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address).to_string();
    return address.to_string();
}

}  // namespace gateway
